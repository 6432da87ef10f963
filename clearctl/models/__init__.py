"""Networks from mmcls's parts. The only importer of mmcls."""

from clearctl.standins import defer_imports

defer_imports()

"""Networks from mmcls's parts. The only importer of mmcls."""

from clearctl.standins import import_less

import_less()

"""Networks from mmcls's parts. The only importer of mmcls."""

"""The steps of `import_images`, a module each: find images, date them, cut them into buckets, name and write them."""

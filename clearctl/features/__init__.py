"""Features of a frozen network for every image of a prepared folder: extraction (`extract`), its record (`record`)."""

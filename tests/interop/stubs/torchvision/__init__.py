"""Stands in for torchvision, of which spandrel needs three names that none of the tested networks calls."""

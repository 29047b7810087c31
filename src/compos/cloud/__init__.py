"""Clouds: what each needs of an image, how it is sent, registered and run there."""

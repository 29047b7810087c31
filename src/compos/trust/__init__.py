"""Who must have signed what: keys, signatures of images, and what is believed of them."""

"""Writes one scene of 40x30 pixels in five image formats. Needs numpy and Pillow."""

import numpy as np
from PIL import Image

rows, columns = np.mgrid[0:30, 0:40]
disc = np.hypot(columns - 24, rows - 12) < 8
scene = np.full((30, 40, 3), (40, 60, 120), np.uint8)
scene[disc] = (220, 160, 40)
scene[20:26, 4:30] = (90, 200, 90)
plain = Image.fromarray(scene)

plain.save("plain.png", optimize=True)
plain.quantize(8).save("palette.png", optimize=True)
best = {"quality": 100, "subsampling": 0, "optimize": True}
plain.convert("CMYK").save("cmyk.jpg", **best)

# Rotated by 90 degrees counterclockwise, with the EXIF orientation that rotates it back.
turned = Image.fromarray(np.rot90(scene))
exif = Image.Exif()
exif[0x0112] = 6
turned.save("exif.jpg", exif=exif, **best)

# Pillow writes 16 bits for grayscale only.
luma = np.asarray(plain.convert("L")).astype(np.uint16)
Image.fromarray(luma * 257).save("sixteen.png", optimize=True)

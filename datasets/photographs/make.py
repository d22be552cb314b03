"""Makes the photographs of this folder from their sources (LICENSES.md says where each is from).

    python make.py SKIMAGE_DATA SCIPY_MISC BUDGIE_BACKGROUNDS

SKIMAGE_DATA: skimage/data of scikit-image 0.26.0; SCIPY_MISC: scipy/misc of SciPy 1.9.3 (face.dat);
BUDGIE_BACKGROUNDS: backgrounds/ of github.com/BuddiesOfBudgie/budgie-backgrounds at 82067426 (May 2025).
Each picture is cut to the box given here (a share of its sides), scaled to 480 px on its shorter side, at most 640 px on the
longer one, and stored as JPEG, so that random 448 px crops with room to move can be taken. Needs Pillow and NumPy.
"""
import bz2
import pathlib
import sys

import numpy
from PIL import Image

skimage, scipy_misc, budgie = (pathlib.Path(a) for a in sys.argv[1:4])
WHOLE = (0, 0, 1, 1)
SOURCES = {  # name: (file, box)
    "astronaut": (skimage / "astronaut.png", WHOLE),
    "cat": (skimage / "chelsea.png", WHOLE),
    "city": (budgie / "singaporean-cityscape.jpg", (0, 0, 0.9, 1)),
    "coffee": (skimage / "coffee.png", WHOLE),
    "colosseum": (budgie / "roman-colosseum.jpg", (0, 0, 0.75, 1)),
    "courtyard": (budgie / "casa-mila.jpg", WHOLE),
    "deep-field": (skimage / "hubble_deep_field.jpg", WHOLE),
    "desert": (budgie / "extreme-desert-hike.jpg", (0, 0.2, 0.9, 1)),
    "flowers": (budgie / "blue-periwinkle.jpg", WHOLE),
    "gravel": (skimage / "gravel.png", WHOLE),
    "lake": (budgie / "lake-sherburne.jpg", (0.2, 0, 1, 1)),
    "osprey": (budgie / "perched-osprey.jpg", (0.2, 0, 1, 1)),
    "otters": (budgie / "oakland-zoo-otters.jpg", (0.15, 0, 1, 1)),
    "raccoon": (scipy_misc / "face.dat", WHOLE),
    "retina": (skimage / "retina.jpg", WHOLE),
    "rocket": (skimage / "rocket.jpg", WHOLE),
    "spices": (budgie / "the-spices-of-life.jpg", WHOLE),
    "tea-gardens": (budgie / "tea-gardens.jpg", (0.1, 0.15, 1, 1)),
    "trail": (budgie / "high-trestle-trail.jpg", WHOLE),
    "wren": (budgie / "canyon-wren.jpg", (0.2, 0, 1, 1)),
}


def load(path):
    if path.suffix == ".dat":
        pixels = numpy.frombuffer(bz2.decompress(path.read_bytes()), dtype="uint8")
        return Image.fromarray(pixels.reshape(768, 1024, 3))
    return Image.open(path).convert("RGB")


for name, (path, box) in SOURCES.items():
    picture = load(path)
    w, h = picture.size
    picture = picture.crop((round(box[0] * w), round(box[1] * h), round(box[2] * w), round(box[3] * h)))
    w, h = picture.size
    if max(w, h) > 640 / 480 * min(w, h):  # too long: its middle
        w2, h2 = min(w, round(h * 640 / 480)), min(h, round(w * 640 / 480))
        picture = picture.crop(((w - w2) // 2, (h - h2) // 2, (w - w2) // 2 + w2, (h - h2) // 2 + h2))
    scale = 480 / min(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.LANCZOS)
    out = pathlib.Path(__file__).parent / f"{name}.jpg"
    picture.save(out, quality=85, optimize=True)
    print(name, picture.size, out.stat().st_size)

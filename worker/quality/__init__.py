"""How a restyled picture compares with its original: what it has kept, and how near to its style it came.

One measure is one function: pictures in, uint8 [3, h, w], sRGB-encoded; a number out. `mask`, where there is one, is
uint8 [1, h, w], 255 where the product is; without one the whole picture counts as the product. `item` takes those that
cost little, of every picture; `docs/quality.md` says what each means and what is usual.
"""

"""One page about one image, for people: what a thousand hypotheses say, and a latent space to move in.

`page/src/case.ts` in the sources describes the data that a page holds, and `case.build_case` makes them. `assets/`
holds the built front end, whose sources lie in `page/`.
"""

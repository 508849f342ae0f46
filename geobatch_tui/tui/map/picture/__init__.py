"""The map as pure pictures: chunks to codes, codes to planes, planes to pixels; knows no
Textual."""

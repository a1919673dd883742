"""The page of ``featcodec demo``: what a codec makes of a photograph, beside JPEG at the same bytes.

look    all that the page shows of a photograph at a quality, as one function, without the page
words   that in words and tables, as HTML
page    the page, a thin layer of Gradio (extra ``demo``), and its server on this machine
"""

"""A page as its elements, for tests that need no browser."""

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "input", "br", "use", "path", "line", "circle", "rect"}


class Page(HTMLParser):
    """Elements in order, with a stack that must close as it opened."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.stack, self.errors, self.texts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.stack or self.stack.pop() != tag:
            self.errors.append((tag, self.getpos()))

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

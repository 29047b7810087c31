/*
 * xml.h: XML (1.0) from strangers, one event after the other: elements with attributes, text. Names
 * are without prefixes. Document types, and with them entities, are refused. Limits: 32 levels, 32
 * attributes of an element; whoever reads the document limits its size.
 */
#ifndef COMPOS_XML_H
#define COMPOS_XML_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

enum { XML_DEPTH = 32, XML_ATTRIBUTES = 32 };

enum xml_event { XML_END, XML_BEGIN, XML_TEXT, XML_CLOSE };

/* Bytes of the document, which ends with a zero byte elsewhere. */
struct xml_span {
    const char *text;
    size_t length;
};

struct xml_attribute {
    struct xml_span name;
    struct xml_span value;
};

struct xml {
    char *at;
    const char *begin;
    struct xml_span open[XML_DEPTH]; /* elements with their prefixes */
    int depth;
    bool rooted;  /* whether the root element has begun */
    bool closing; /* whether the element that has begun is empty: its end comes next */
    struct xml_span name;
    struct xml_span text;
    struct xml_attribute attributes[XML_ATTRIBUTES];
    size_t attribute_count;
    struct failure *failure;
};

/* `text` ends with a zero byte, is changed, and outlives the spans. */
void xml_start(struct xml *xml, char *text, struct failure *failure);

/* The next event (enum xml_event); -1 with the reason. */
int xml_next(struct xml *xml);

bool xml_is(struct xml_span span, const char *text);

/* The attribute's value; its text is NULL if there is none. */
struct xml_span xml_attribute(const struct xml *xml, const char *name);

#endif

/* xml.c: see xml.h. Sections are those of XML 1.0. */
#include "ovf/xml.h"

#include "json/utf8.h"

#include <stdlib.h>
#include <string.h>

#define XML_SPACE " \t\r\n"

void xml_start(struct xml *xml, char *text, struct failure *failure)
{
    *xml = (struct xml){.at = text, .begin = text, .failure = failure};
    /* A byte order mark, in UTF-8. */
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
        xml->at += 3;
}

static int xml_refuse(const struct xml *xml, const char *what)
{
    return failed(xml->failure, "XML: %s at byte %zu", what, (size_t)(xml->at - xml->begin));
}

bool xml_is(struct xml_span span, const char *text)
{
    return span.length == strlen(text) && memcmp(span.text, text, span.length) == 0;
}

struct xml_span xml_attribute(const struct xml *xml, const char *name)
{
    for (size_t i = 0; i < xml->attribute_count; i++)
        if (xml_is(xml->attributes[i].name, name))
            return xml->attributes[i].value;
    return (struct xml_span){0};
}

static void xml_skip_space(struct xml *xml)
{
    xml->at += strspn(xml->at, XML_SPACE);
}

/* 2.2: what a document may contain. */
static bool xml_is_character(unsigned long code)
{
    return code == '\t' || code == '\n' || code == '\r' || (code >= ' ' && code < 0xd800) ||
           (code >= 0xe000 && code < 0xfffe) || (code >= 0x10000 && code < 0x110000);
}

/* 4.1: "&#x41;", "&#65;", "&lt;", which are never shorter than what they stand for. */
static int xml_reference(struct xml *xml, char **out)
{
    static const char *const names[] = {"&lt;", "&gt;", "&amp;", "&quot;", "&apos;"};
    static const char meanings[] = "<>&\"'";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(xml->at, names[i], strlen(names[i])) == 0) {
            xml->at += strlen(names[i]);
            *(*out)++ = meanings[i];
            return 0;
        }
    if (strncmp(xml->at, "&#", 2) != 0)
        return xml_refuse(xml, "an unknown entity");
    bool hexadecimal = xml->at[2] == 'x';
    char *digits = xml->at + 2 + hexadecimal;
    size_t length = strspn(digits, hexadecimal ? "0123456789abcdefABCDEF" : "0123456789");
    unsigned long code =
        length > 0 && length < 9 ? strtoul(digits, NULL, hexadecimal ? 16 : 10) : 0;
    if (digits[length] != ';' || !xml_is_character(code))
        return xml_refuse(xml, "an invalid reference");
    xml->at = digits + length + 1;
    *out = utf8_put(*out, (uint32_t)code);
    return 0;
}

/* Decodes up to a byte of `ends`, which stays unread. */
static int xml_decode(struct xml *xml, const char *ends, struct xml_span *span)
{
    char *out = xml->at;
    span->text = out;
    while (*xml->at && !strchr(ends, *xml->at)) {
        if (*xml->at == '&') {
            if (xml_reference(xml, &out) < 0)
                return -1;
            continue;
        }
        if ((unsigned char)*xml->at < ' ' && !strchr(XML_SPACE, *xml->at))
            return xml_refuse(xml, "a control character");
        *out++ = *xml->at++;
    }
    span->length = (size_t)(out - span->text);
    return 0;
}

/* 2.3, without regard to which letters may begin a name beyond ASCII. */
static int xml_name(struct xml *xml, struct xml_span *span)
{
    span->text = xml->at;
    while (*xml->at && ((unsigned char)*xml->at >= 0x80 ||
                        strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:"
                               "0123456789-.",
                               *xml->at)))
        xml->at++;
    span->length = (size_t)(xml->at - span->text);
    if (span->length == 0 || strchr("0123456789-.", *span->text))
        return xml_refuse(xml, "no name");
    return 0;
}

static struct xml_span xml_local(struct xml_span name)
{
    const char *colon = memchr(name.text, ':', name.length);
    if (!colon)
        return name;
    return (struct xml_span){colon + 1, name.length - (size_t)(colon + 1 - name.text)};
}

static int xml_read_attribute(struct xml *xml)
{
    if (xml->attribute_count == XML_ATTRIBUTES)
        return xml_refuse(xml, "too many attributes");
    struct xml_attribute *attribute = &xml->attributes[xml->attribute_count];
    struct xml_span name;
    if (xml_name(xml, &name) < 0)
        return -1;
    attribute->name = xml_local(name);
    xml_skip_space(xml);
    if (*xml->at != '=')
        return xml_refuse(xml, "an attribute without a value");
    xml->at++;
    xml_skip_space(xml);
    const char quote[] = {*xml->at, '<', '\0'};
    if (*xml->at != '"' && *xml->at != '\'')
        return xml_refuse(xml, "a value without quotation marks");
    xml->at++;
    if (xml_decode(xml, quote, &attribute->value) < 0)
        return -1;
    if (*xml->at != quote[0])
        return xml_refuse(xml, "a value without an end");
    xml->at++;
    xml->attribute_count++;
    return 0;
}

/* 3.1, behind "<". */
static int xml_begin(struct xml *xml)
{
    struct xml_span name;
    if (xml->depth == XML_DEPTH || (xml->depth == 0 && xml->rooted))
        return xml_refuse(xml, "too many levels or roots");
    if (xml_name(xml, &name) < 0)
        return -1;
    xml->attribute_count = 0;
    for (;;) {
        bool space = strspn(xml->at, XML_SPACE) > 0;
        xml_skip_space(xml);
        if (*xml->at == '>' || *xml->at == '/')
            break;
        if (!space)
            return xml_refuse(xml, "an element that is invalid");
        if (xml_read_attribute(xml) < 0)
            return -1;
    }
    xml->closing = *xml->at == '/';
    xml->at += xml->closing;
    if (*xml->at != '>')
        return xml_refuse(xml, "an element without an end");
    xml->at++;
    xml->rooted = true;
    xml->open[xml->depth++] = name;
    xml->name = xml_local(name);
    return XML_BEGIN;
}

/* 3.1, behind "</". */
static int xml_close(struct xml *xml)
{
    struct xml_span name;
    if (xml_name(xml, &name) < 0)
        return -1;
    xml_skip_space(xml);
    if (*xml->at != '>' || xml->depth == 0 || name.length != xml->open[xml->depth - 1].length ||
        memcmp(name.text, xml->open[xml->depth - 1].text, name.length) != 0)
        return xml_refuse(xml, "an end of another element");
    xml->at++;
    xml->depth--;
    xml->name = xml_local(name);
    return XML_CLOSE;
}

/* Comments and processing instructions (2.5 and 2.6). */
static int xml_skip(struct xml *xml, const char *end)
{
    char *found = strstr(xml->at, end);
    if (!found)
        return xml_refuse(xml, "a comment or instruction without an end");
    xml->at = found + strlen(end);
    return 0;
}

/* What has no meaning here, and blanks around the root element. */
static int xml_skip_others(struct xml *xml)
{
    for (;;) {
        if (xml->depth == 0)
            xml_skip_space(xml);
        bool comment = strncmp(xml->at, "<!--", 4) == 0;
        if (!comment && strncmp(xml->at, "<?", 2) != 0)
            return 0;
        xml->at += comment ? 4 : 2;
        if (xml_skip(xml, comment ? "-->" : "?>") < 0)
            return -1;
    }
}

/* 2.7, behind "<![CDATA[". */
static int xml_literal(struct xml *xml)
{
    xml->text.text = xml->at;
    if (xml_skip(xml, "]]>") < 0)
        return -1;
    xml->text.length = (size_t)(xml->at - 3 - xml->text.text);
    return XML_TEXT;
}

static int xml_text(struct xml *xml)
{
    if (xml->depth > 0)
        return xml_decode(xml, "<", &xml->text) < 0 ? -1 : XML_TEXT;
    return *xml->at || !xml->rooted ? xml_refuse(xml, "text outside the root element") : XML_END;
}

int xml_next(struct xml *xml)
{
    if (xml->closing) {
        xml->closing = false;
        xml->depth--;
        return XML_CLOSE;
    }
    if (xml_skip_others(xml) < 0)
        return -1;
    if (*xml->at == '\0' && xml->depth > 0)
        return xml_refuse(xml, "an element without an end");
    if (*xml->at != '<')
        return xml_text(xml);
    if (xml->depth > 0 && strncmp(xml->at, "<![CDATA[", 9) == 0) {
        xml->at += 9;
        return xml_literal(xml);
    }
    if (xml->at[1] == '!')
        return xml_refuse(xml, "a document type, which is not supported,");
    xml->at += xml->at[1] == '/' ? 2 : 1;
    return xml->at[-1] == '/' ? xml_close(xml) : xml_begin(xml);
}

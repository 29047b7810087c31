/*
 * parser_driver.c: PARSER: reads documents from standard input, each behind its length in a line,
 * and prints what the parser makes of each in a line: JSON, or "refused: " and why.
 */
#include "network/network_openstack.h"
#include "network/network_v1.h"
#include "network/network_v2.h"
#include "ovf/xml.h"
#include "user_data/gzip.h"
#include "user_data/mime.h"
#include "user_data/user_data.h"
#include "yaml/yaml.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_OUTPUT = 1 << 20 };

static void print_string(const char *text, size_t length)
{
    putchar('"');
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
            printf("\\u%04x", (unsigned char)text[i]);
        else
            putchar(text[i]);
    putchar('"');
}

static void print_value(const struct json *value)
{
    if (value->type == JSON_NULL) {
        printf("\"\"");
    } else if (value->type == JSON_OBJECT || value->type == JSON_ARRAY) {
        bool named = value->type == JSON_OBJECT;
        putchar(named ? '{' : '[');
        for (const struct json *member = value->first; member; member = member->next) {
            if (named) {
                print_string(member->key, member->key_length);
                putchar(':');
            }
            print_value(member);
            if (member->next)
                putchar(',');
        }
        putchar(named ? '}' : ']');
    } else {
        print_string(value->text, value->length);
    }
}

static int print_yaml(char *bytes, size_t length, struct failure *failure)
{
    struct json *root = yaml_parse(bytes, length, failure);
    if (!root)
        return -1;
    print_value(root);
    yaml_free(root);
    return 0;
}

static int print_gzip(char *bytes, size_t length, struct failure *failure)
{
    size_t size;
    char *plain = gzip_decompress(bytes, length, MAX_OUTPUT, &size, failure);
    if (!plain)
        return -1;
    print_string(plain, size);
    free(plain);
    return 0;
}

static int print_mime(char *bytes, size_t length, struct failure *failure)
{
    struct mime_part whole, part;
    size_t at = 0, size;
    const char *begin;
    if (!mime_is_message(bytes, length))
        return failed(failure, "no message");
    if (mime_read(bytes, length, &whole, failure) < 0)
        return -1;
    printf("[");
    print_string(whole.type, strlen(whole.type));
    while (whole.boundary[0] && mime_next(&whole, &at, &begin, &size) > 0) {
        if (mime_read(begin, size, &part, &(struct failure){0}) < 0)
            continue;
        printf(",[");
        print_string(part.type, strlen(part.type));
        printf(",%s,", part.base64 ? "true" : "false");
        print_string(part.body, part.length);
        printf("]");
    }
    printf("]");
    return 0;
}

static int print_xml(char *bytes, struct failure *failure)
{
    struct xml xml;
    int event, depth = 0;
    xml_start(&xml, bytes, failure);
    printf("[");
    while ((event = xml_next(&xml)) > XML_END) {
        depth += event == XML_BEGIN ? 1 : event == XML_CLOSE ? -1 : 0;
        printf("[%d,", event);
        struct xml_span span = event == XML_TEXT ? xml.text : xml.name;
        print_string(span.text, span.length);
        for (size_t i = 0; event == XML_BEGIN && i < xml.attribute_count; i++) {
            printf(",");
            print_string(xml.attributes[i].name.text, xml.attributes[i].name.length);
            printf(",");
            print_string(xml.attributes[i].value.text, xml.attributes[i].value.length);
        }
        printf("],");
    }
    printf("%d]", depth);
    return event;
}

/* What is not seen of veth devices: see tests/bricks/test_network_config.py. */
static void print_model(const struct network *network)
{
    static const char *const kinds[] = {"physical", "bond", "bridge", "vlan"};
    printf("[");
    for (size_t i = 0; i < network->count; i++) {
        const struct network_device *device = &network->devices[i];
        printf("%s[\"%s\",", i ? "," : "", kinds[device->kind]);
        print_string(device->id, strlen(device->id));
        printf(",");
        print_string(device->name, strlen(device->name));
        printf(",[");
        for (size_t j = 0; j < device->member_count; j++) {
            printf("%s", j ? "," : "");
            print_string(device->members[j], strlen(device->members[j]));
        }
        printf("],");
        print_string(device->link, strlen(device->link));
        printf(",%ld,{", device->vlan);
        for (size_t j = 0; j < device->option_count; j++)
            printf("%s\"%u\":%u", j ? "," : "", device->options[j].attribute,
                   device->options[j].value);
        printf("}]");
    }
    printf("]");
}

static int print_network(char *bytes, size_t length, struct failure *failure)
{
    char *copy;
    struct json *root = yaml_parse_copy(bytes, length, &copy, failure);
    struct network *network = calloc(1, sizeof *network);
    if (root && network) {
        if (json_member(root, "links"))
            network_openstack_read(root, network);
        else if (json_member(root, "config"))
            network_v1_read(root, network);
        else
            network_v2_read(root, network);
        print_model(network);
    }
    free(network);
    yaml_free(root);
    free(copy);
    return root ? 0 : -1;
}

/* Carries it out in the working directory. */
static int print_user_data(const char *bytes, size_t length, struct failure *failure)
{
    struct user_data data;
    struct result result = {.allowed = {.users = true, .commands = true}};
    result.folder = open(".", O_RDONLY | O_DIRECTORY);
    if (result.folder < 0 || accounts_load(&result.accounts, failure) < 0)
        return -1;
    result.user_data = malloc(length + 1);
    if (!result.user_data)
        return failed_errno(failure, "no memory");
    memcpy(result.user_data, bytes, length);
    result.user_data_length = length;
    user_data_open(&data, &result);
    user_data_apply(&data, &result);
    user_data_write_tree(&data, &result);
    user_data_close(&data);
    int done = accounts_write(&result.accounts, result.folder, failure);
    close(result.folder);
    text_free(&result.keys);
    accounts_free(&result.accounts);
    free(result.user_data);
    return done;
}

static int print_document(const char *parser, char *bytes, size_t length, struct failure *failure)
{
    if (strcmp(parser, "yaml") == 0)
        return print_yaml(bytes, length, failure);
    if (strcmp(parser, "gzip") == 0)
        return print_gzip(bytes, length, failure);
    if (strcmp(parser, "xml") == 0)
        return print_xml(bytes, failure);
    if (strcmp(parser, "network") == 0)
        return print_network(bytes, length, failure);
    if (strcmp(parser, "user_data") == 0)
        return print_user_data(bytes, length, failure);
    return print_mime(bytes, length, failure);
}

int main(int count, char *arguments[])
{
    size_t length;
    while (count == 2 && scanf("%zu", &length) == 1 && getchar() == '\n') {
        struct failure failure;
        /* Of just that size, so that the sanitizer sees each byte beyond. */
        char *bytes = malloc(length + 1);
        if (!bytes || fread(bytes, 1, length, stdin) != length)
            return 2;
        bytes[length] = '\0';
        if (print_document(arguments[1], bytes, length, &failure) < 0)
            printf("refused: %s", failure.text);
        putchar('\n');
        free(bytes);
    }
    return count != 2;
}

/* ovf_env.c: see ovf_env.h. */
#include "ovf/ovf_env.h"

#include "network/network_config.h"
#include "ovf/xml.h"
#include "report.h"
#include "user_data/base64.h"

#include <stdlib.h>
#include <string.h>

/* What has been read, in the document. */
struct ovf_env {
    struct xml_span hostname;
    struct xml_span instance_id;
    struct xml_span user_data; /* in base64, or as it is */
    struct xml_span network;   /* likewise */
    struct text keys;
};

struct ovf_env_name {
    const char *name;
    size_t place;
};

/* Properties of vSphere, as cloud-init has them, and elements of Azure. */
static const struct ovf_env_name ovf_env_properties[] = {
    {"local-hostname", offsetof(struct ovf_env, hostname)},
    {"hostname", offsetof(struct ovf_env, hostname)},
    {"instance-id", offsetof(struct ovf_env, instance_id)},
    {"user-data", offsetof(struct ovf_env, user_data)},
    {"network-config", offsetof(struct ovf_env, network)},
};
static const struct ovf_env_name ovf_env_elements[] = {
    {"HostName", offsetof(struct ovf_env, hostname)},
    {"CustomData", offsetof(struct ovf_env, user_data)},
};

static struct xml_span *ovf_env_place(struct ovf_env *env, const struct ovf_env_name *names,
                                      size_t count, struct xml_span name)
{
    for (size_t i = 0; i < count; i++)
        if (xml_is(name, names[i].name))
            return (struct xml_span *)(void *)((char *)env + names[i].place);
    return NULL;
}

static void ovf_env_property(struct ovf_env *env, const struct xml *xml)
{
    struct xml_span key = xml_attribute(xml, "key"), value = xml_attribute(xml, "value");
    if (!key.text || !value.text || value.length == 0)
        return;
    struct xml_span *place = ovf_env_place(
        env, ovf_env_properties, sizeof ovf_env_properties / sizeof *ovf_env_properties, key);
    if (place)
        *place = value;
    else if (xml_is(key, "public-keys"))
        result_add_keys(&env->keys, value.text, value.length);
}

/* The text of an element that has begun: Azure's have no other elements in them. */
static void ovf_env_element(struct ovf_env *env, struct xml_span element, struct xml_span text)
{
    struct xml_span *place = ovf_env_place(
        env, ovf_env_elements, sizeof ovf_env_elements / sizeof *ovf_env_elements, element);
    if (place && text.length > 0)
        *place = text;
    else if (xml_is(element, "Value"))
        result_add_keys(&env->keys, text.text, text.length);
}

static int ovf_env_read(struct ovf_env *env, char *text, struct failure *failure)
{
    struct xml xml;
    struct xml_span element = {"", 0};
    int event;
    xml_start(&xml, text, failure);
    while ((event = xml_next(&xml)) > XML_END) {
        if (event == XML_BEGIN && xml_is(xml.name, "Property"))
            ovf_env_property(env, &xml);
        if (event == XML_TEXT)
            ovf_env_element(env, element, xml.text);
        else
            element = event == XML_BEGIN ? xml.name : (struct xml_span){"", 0};
    }
    return event;
}

/* The bytes that base64 stands for, or those of what is none; to be freed. */
static char *ovf_env_decode(struct xml_span value, size_t *size)
{
    char *bytes = base64_decode(value.text, value.length, size);
    if (bytes)
        return bytes;
    *size = value.length;
    bytes = malloc(value.length + 1);
    return bytes ? memcpy(bytes, value.text, value.length) : NULL;
}

static void ovf_env_use(struct result *result, const struct ovf_env *env)
{
    size_t size;
    if (env->hostname.length > 0)
        result_hostname(result, env->hostname.text, env->hostname.length);
    if (env->instance_id.length > 0)
        result_value(result, "instance_id", env->instance_id.text, env->instance_id.length);
    result_keys(result, env->keys.bytes ? env->keys.bytes : "", env->keys.length);
    if (env->user_data.length > 0) {
        char *bytes = ovf_env_decode(env->user_data, &size);
        if (bytes)
            result_user_data(result, bytes, size);
    }
    if (env->network.length > 0) {
        char *bytes = ovf_env_decode(env->network, &size);
        if (bytes)
            network_config_apply(result, "network-config", bytes, size);
        free(bytes);
    }
}

void ovf_env_apply(struct result *result, char *text, size_t length)
{
    struct ovf_env env = {0};
    struct failure failure;
    if (strlen(text) != length)
        report("OVF environment: a zero byte");
    else if (ovf_env_read(&env, text, &failure) < 0)
        report("OVF environment: %s", failure.text);
    else
        ovf_env_use(result, &env);
    text_free(&env.keys);
}

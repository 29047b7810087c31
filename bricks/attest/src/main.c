/*
 * main.c: attest [-port 8440] [-listen_ip ADDRESS] [-device /dev/tpmrm0] [-log FILE] [-rate 60]:
 * what this machine has started, signed by its TPM, over HTTP. Each request has a process of its
 * own.
 *
 * GET /quote?nonce=HEX, /identity, /activate?credential=HEX&secret=HEX
 */
#include "evidence.h"
#include "limit.h"
#include "protocol/options.h"
#include "web/web.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* TPMs take seconds for an RSA key. */
enum { PATIENCE = 120, MIN_NONCE = 16, MAX_NONCE = 32 };

static int main_digit(char letter)
{
    const char digits[] = "0123456789abcdef";
    const char *found = letter ? strchr(digits, letter) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* The bytes of NAME=HEX in a query; whether there are from `least` to `most` of them. */
static bool main_field(const char *query, const char *name, struct tpm_message *field, size_t least,
                       size_t most)
{
    size_t length = strlen(name);
    *field = (struct tpm_message){0};
    for (; strncmp(query, name, length) != 0 || query[length] != '='; query++) {
        query = strchr(query, '&');
        if (!query)
            return false;
    }
    for (query += length + 1; *query && *query != '&'; query += 2) {
        int high = main_digit(query[0]), low = high < 0 ? -1 : main_digit(query[1]);
        if (low < 0 || field->size == most)
            return false;
        tpm_put(field, (uint32_t)(high << 4 | low), 1);
    }
    return field->size >= least;
}

static void main_send(int client, int result, struct text *json, const struct failure *failure)
{
    if (result < 0)
        web_say(client, "503 Service Unavailable", failure->text);
    else
        web_answer(client, "200 OK", "application/json", json);
}

/* Whether the TPM may be asked once more; if not, the client is told. */
static bool main_allows(int client)
{
    if (limit_allows())
        return true;
    web_say(client, "429 Too Many Requests", "the TPM is asked too often: try again in a minute");
    return false;
}

static void main_answer(void *context, int client, const char *path, const char *query)
{
    const struct evidence_places *places = context;
    struct tpm_message field, secret;
    struct text json = {0};
    struct failure failure = {0};
    if (strcmp(path, "quote") == 0) {
        if (!main_field(query, "nonce", &field, MIN_NONCE, MAX_NONCE))
            web_say(client, "400 Bad Request", "nonce: 16 to 32 bytes, in lower-case hex");
        else if (main_allows(client))
            main_send(client, evidence_quote(places, &field, &json, &failure), &json, &failure);
    } else if (strcmp(path, "identity") == 0) {
        if (main_allows(client))
            main_send(client, evidence_identity(places, &json, &failure), &json, &failure);
    } else if (strcmp(path, "activate") == 0) {
        if (!main_field(query, "credential", &field, 1, 256) ||
            !main_field(query, "secret", &secret, 1, 512))
            web_say(client, "400 Bad Request", "credential and secret: bytes in lower-case hex");
        else if (main_allows(client))
            main_send(client, evidence_activate(places, &field, &secret, &json, &failure), &json,
                      &failure);
    } else {
        web_say(client, "404 Not Found", "there are /quote, /identity and /activate");
    }
}

int main(int argument_count, char *arguments[])
{
    struct evidence_places places = {"/dev/tpmrm0", "/firmware/tpm0/binary_bios_measurements"};
    struct web_place place = {.name = "attest", .ip = "", .port = 8440, .patience = PATIENCE};
    long rate = 60;
    const struct option options[] = {
        {.name = "port", .number = &place.port, .least = 1, .most = 65535},
        {.name = "listen_ip", .text = &place.ip},
        {.name = "device", .text = &places.device},
        {.name = "log", .text = &places.log},
        {.name = "rate", .number = &rate, .least = 1, .most = 6000},
    };
    if (options_read(argument_count, arguments, options, 5) < argument_count) {
        fprintf(stderr, "attest: no arguments are taken, only options\n");
        exit(1);
    }
    limit_begin(rate);
    web_serve(&place, main_answer, &places);
}

/* version.c: see version.h. Source: semver.org, version 2.0.0, items 2, 9, 10 and 11. */
#include "version.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

enum { NUMBERS = 3, DIGITS = 9, MAX_LENGTH = 64 };

static bool version_is_word(char letter)
{
    return isalnum((unsigned char)letter) || letter == '-';
}

/* Reads digits: their number; -1 for none, too many, or a zero in front of others. */
static long version_number(const char **text)
{
    const char *start = *text;
    long number = 0;
    while (isdigit((unsigned char)**text) && *text - start < DIGITS)
        number = number * 10 + (*(*text)++ - '0');
    bool leading = *start == '0' && *text - start > 1;
    return *text == start || leading || isdigit((unsigned char)**text) ? -1 : number;
}

/* Reads the numbers, those that are missing as zero. */
static bool version_numbers(const char **text, long numbers[NUMBERS])
{
    for (int i = 0; i < NUMBERS; i++)
        numbers[i] = 0;
    for (int i = 0; i < NUMBERS; i++) {
        numbers[i] = version_number(text);
        if (numbers[i] < 0)
            return false;
        if (**text != '.' || i == NUMBERS - 1)
            return true;
        (*text)++;
    }
    return true;
}

/* Reads words with dots between them. */
static bool version_words(const char **text)
{
    do {
        (*text)++;
        const char *start = *text;
        while (version_is_word(**text))
            (*text)++;
        if (*text == start)
            return false;
    } while (**text == '.');
    return true;
}

bool version_is(const char *text)
{
    long numbers[NUMBERS];
    if (strlen(text) > MAX_LENGTH || !version_numbers(&text, numbers))
        return false;
    if (*text == '-' && !version_words(&text))
        return false;
    if (*text == '+' && !version_words(&text))
        return false;
    return *text == '\0';
}

static size_t version_span(const char *word)
{
    size_t length = 0;
    while (version_is_word(word[length]))
        length++;
    return length;
}

static bool version_is_numeric(const char *word, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!isdigit((unsigned char)word[i]))
            return false;
    return true;
}

/* Item 11.4: numbers by their value, before words; words by their letters. */
static int version_compare_words(const char *first, size_t one, const char *second, size_t other)
{
    bool numeric = version_is_numeric(first, one);
    if (numeric != version_is_numeric(second, other))
        return numeric ? -1 : 1;
    if (numeric) {
        for (; one > 1 && *first == '0'; one--)
            first++;
        for (; other > 1 && *second == '0'; other--)
            second++;
        if (one != other)
            return one < other ? -1 : 1;
    }
    int order = memcmp(first, second, one < other ? one : other);
    if (order != 0)
        return order;
    return one == other ? 0 : one < other ? -1 : 1;
}

/* What stands behind the numbers: without a '-', it is later than with one. */
static int version_compare_rest(const char *first, const char *second)
{
    if (*first != '-' || *second != '-')
        return (*second == '-') - (*first == '-');
    for (;;) {
        size_t one = version_span(++first), other = version_span(++second);
        int order = version_compare_words(first, one, second, other);
        first += one;
        second += other;
        if (order != 0 || *first != '.' || *second != '.')
            return order != 0 ? order : (*first == '.') - (*second == '.');
    }
}

int version_compare(const char *first, const char *second)
{
    long one[NUMBERS], other[NUMBERS];
    version_numbers(&first, one);
    version_numbers(&second, other);
    for (int i = 0; i < NUMBERS; i++)
        if (one[i] != other[i])
            return one[i] < other[i] ? -1 : 1;
    return version_compare_rest(first, second);
}

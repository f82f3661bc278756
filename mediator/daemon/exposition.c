/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/exposition.h"

#include "mediator/base/util.h"

#include <inttypes.h>

/* Bounds of the buckets that are shown: 2^i µs, a factor of four apart, so that what is kept of all
 * vGPUs of a host stays small. */
#define BUCKET_FIRST 4
#define BUCKET_LAST 22
#define BUCKET_STEP 2

void exposition_family(FILE *out, const char *name, enum exposition_type type, const char *help)
{
    static const char *const names[] = {
        [EXPOSITION_GAUGE] = "gauge",
        [EXPOSITION_COUNTER] = "counter",
        [EXPOSITION_HISTOGRAM] = "histogram",
    };
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, names[type]);
}

static void print_value(FILE *out, const char *value)
{
    for (const char *c = value; *c; c++) {
        if (*c == '\n')
            fputs("\\n", out);
        else if (*c == '\\' || *c == '"')
            fprintf(out, "\\%c", *c);
        else
            fputc(*c, out);
    }
}

/* le: one more label, or NULL. */
static void print_name(FILE *out, const char *name, const char *suffix,
                       const struct exposition_label *labels, const char *le)
{
    char separator = '{';

    fprintf(out, "%s%s", name, suffix);
    for (const struct exposition_label *l = labels; l->name; l++) {
        fprintf(out, "%c%s=\"", separator, l->name);
        print_value(out, l->value);
        fputc('"', out);
        separator = ',';
    }
    if (le) {
        fprintf(out, "%cle=\"%s\"", separator, le);
        separator = ',';
    }
    fputs(separator == ',' ? "} " : " ", out);
}

void exposition_integer(FILE *out, const char *name, const struct exposition_label *labels,
                        uint64_t value)
{
    print_name(out, name, "", labels, NULL);
    fprintf(out, "%" PRIu64 "\n", value);
}

void exposition_ns(FILE *out, const char *name, const struct exposition_label *labels, uint64_t ns)
{
    print_name(out, name, "", labels, NULL);
    fprintf(out, "%" PRIu64 ".%09" PRIu64 "\n", ns / 1000000000, ns % 1000000000);
}

void exposition_ppm(FILE *out, const char *name, const struct exposition_label *labels,
                    uint32_t ppm)
{
    print_name(out, name, "", labels, NULL);
    fprintf(out, "%" PRIu32 ".%06" PRIu32 "\n", ppm / 1000000, ppm % 1000000);
}

void exposition_histogram(FILE *out, const char *name, const struct exposition_label *labels,
                          const struct arbiter_histogram *h)
{
    uint64_t below = 0;

    for (unsigned i = 0; i <= BUCKET_LAST; i++) {
        char le[24];
        below += h->buckets[i];
        if (i < BUCKET_FIRST || (i - BUCKET_FIRST) % BUCKET_STEP != 0)
            continue;
        snprintf(le, sizeof(le), "%u.%06u", (1u << i) / 1000000, (1u << i) % 1000000);
        print_name(out, name, "_bucket", labels, le);
        fprintf(out, "%" PRIu64 "\n", below);
    }
    print_name(out, name, "_bucket", labels, "+Inf");
    fprintf(out, "%" PRIu64 "\n", h->count);
    print_name(out, name, "_sum", labels, NULL);
    fprintf(out, "%" PRIu64 ".%09" PRIu64 "\n", h->sum_ns / 1000000000, h->sum_ns % 1000000000);
    print_name(out, name, "_count", labels, NULL);
    fprintf(out, "%" PRIu64 "\n", h->count);
}

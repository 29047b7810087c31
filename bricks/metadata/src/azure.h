/* azure.h: Azure's metadata service, and the report that a machine there has to make. */
#ifndef COMPOS_AZURE_H
#define COMPOS_AZURE_H

#include "provider.h"

bool azure_find(const struct search *search, struct result *result);

#endif

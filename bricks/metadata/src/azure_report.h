/*
 * azure_report.h: tells Azure that the machine runs. Without this, Azure waits for 40 minutes, and
 * then takes the deployment for a failure.
 */
#ifndef COMPOS_AZURE_REPORT_H
#define COMPOS_AZURE_REPORT_H

#include "base/failure.h"

int azure_report_ready(struct failure *failure);

#endif

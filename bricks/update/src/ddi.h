/*
 * ddi.h: hawkBit's Direct Device Integration API, as its documentation describes it: what a machine
 * asks a server for, and what it tells it. What servers say is not trusted: addresses within the
 * API are made here, from the number of an action alone, and the token goes nowhere else.
 */
#ifndef COMPOS_DDI_H
#define COMPOS_DDI_H

#include "base/failure.h"
#include "terms.h"

#include <stdbool.h>
#include <stdint.h>

/* What the machine says of itself: "Authorization: TargetToken …". */
enum { DDI_ID = 20, DDI_URL = 4096, DDI_HEADER = 256, DDI_DETAIL = 512 };

/* A machine at a server. */
struct ddi {
    char base[DDI_URL]; /* https://HOST/TENANT/controller/v1/NAME */
    char header[DDI_HEADER];
};

/* What is to be done: numbers of actions, empty without one. */
struct ddi_tasks {
    char deployment[DDI_ID], cancellation[DDI_ID];
    bool wants_attributes; /* the server asks what this machine is */
    bool confirmation;     /* it waits for somebody's consent first */
    uint32_t sleep;        /* seconds until it is to be asked again; 0 if it does not say */
};

struct ddi_deployment {
    bool now;          /* or the machine is to wait */
    char url[DDI_URL]; /* of the only bundle in it; empty without one */
    int bundles;       /* how many there are */
    bool is_ours;      /* the URL is at the server itself, which gets the token */
};

enum ddi_kind { DDI_DEPLOYMENT, DDI_CANCELLATION };

/* Who this machine is, with the token of a file. */
int ddi_open(struct ddi *ddi, const struct terms_hawkbit *hawkbit, const char *token,
             struct failure *failure);

/* GET /TENANT/controller/v1/NAME */
int ddi_poll(const struct ddi *ddi, struct ddi_tasks *tasks, struct failure *failure);

/* GET …/deploymentBase/ID */
int ddi_deployment(const struct ddi *ddi, const char *id, struct ddi_deployment *deployment,
                   struct failure *failure);

/* GET …/cancelAction/ID: the number of the action that is to stop. */
int ddi_cancellation(const struct ddi *ddi, const char *id, char stop[DDI_ID],
                     struct failure *failure);

/*
 * POST …/deploymentBase/ID/feedback or …/cancelAction/ID/feedback: how far it is (proceeding,
 * closed, rejected), how it has ended (none, success, failure), and a line for people. 0 as well if
 * the server does not know the action, or has closed it.
 */
int ddi_feedback(const struct ddi *ddi, enum ddi_kind kind, const char *id, const char *execution,
                 const char *finished, const char *detail, struct failure *failure);

/* PUT …/configData: what this machine is. */
int ddi_attributes(const struct ddi *ddi, const struct terms *own, struct failure *failure);

#endif

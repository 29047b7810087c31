/* evidence.h: what the machine says of itself, as JSON; bytes are in base64. */
#ifndef COMPOS_EVIDENCE_H
#define COMPOS_EVIDENCE_H

#include "tpm/tpm.h"
#include "web/text.h"

/* Where the TPM is, and the firmware's log of events. */
struct evidence_places {
    const char *device;
    const char *log;
};

/*
 * {"version", "attestation_key", "quote", "signature", "pcrs", "event_log"}: PCRs 0 to 15 of the
 * bank SHA-256, signed together with the nonce.
 */
int evidence_quote(const struct evidence_places *places, const struct tpm_message *nonce,
                   struct text *json, struct failure *failure);

/* {"version", "attestation_key", "endorsement_key", "endorsement_certificate"} */
int evidence_identity(const struct evidence_places *places, struct text *json,
                      struct failure *failure);

/* {"version", "secret"} */
int evidence_activate(const struct evidence_places *places, const struct tpm_message *credential,
                      const struct tpm_message *encrypted, struct text *json,
                      struct failure *failure);

#endif

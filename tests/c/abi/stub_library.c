/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands for telemetrics-client's library at link time: its names, with the versions that stub_library.sym gives them. It does
 * nothing, so that a program which still ran on it would be found out.
 */
#include <stddef.h>
#include <stdint.h>

struct telem_ref;

int tm_set_config_file(const char *c_file);
int tm_create_record(struct telem_ref **t_ref, uint32_t severity, char *classification, uint32_t payload_version);
int tm_set_payload(struct telem_ref *t_ref, char *payload);
int tm_set_event_id(struct telem_ref *t_ref, char *event_id);
int tm_send_record(struct telem_ref *t_ref);
void tm_free_record(struct telem_ref *t_ref);
int tm_is_opted_in(void);

int tm_set_config_file(const char *c_file)
{
        return c_file != NULL ? -99 : -98;
}

int tm_create_record(struct telem_ref **t_ref, uint32_t severity, char *classification, uint32_t payload_version)
{
        *t_ref = NULL;
        return classification != NULL && severity + payload_version > 0 ? -99 : -98;
}

int tm_set_payload(struct telem_ref *t_ref, char *payload)
{
        return t_ref != NULL && payload != NULL ? -99 : -98;
}

int tm_set_event_id(struct telem_ref *t_ref, char *event_id)
{
        return t_ref != NULL && event_id != NULL ? -99 : -98;
}

int tm_send_record(struct telem_ref *t_ref)
{
        return t_ref != NULL ? -99 : -98;
}

void tm_free_record(struct telem_ref *t_ref)
{
        (void)t_ref;
}

int tm_is_opted_in(void)
{
        return -99;
}

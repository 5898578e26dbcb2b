/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program as it was written for telemetrics-client 2.4: prototypes of its own, our header never seen. Prints what each call
 * gave. Arguments: the configuration file.
 */
#include <stdint.h>
#include <stdio.h>

struct telem_ref;

int tm_set_config_file(const char *c_file);
int tm_create_record(struct telem_ref **t_ref, uint32_t severity, char *classification, uint32_t payload_version);
int tm_set_payload(struct telem_ref *t_ref, char *payload);
int tm_set_event_id(struct telem_ref *t_ref, char *event_id);
int tm_send_record(struct telem_ref *t_ref);
void tm_free_record(struct telem_ref *t_ref);
int tm_is_opted_in(void);

int main(int argc, char **argv)
{
        static char classification[] = "org.clearlinux/hello/world", wrong[] = "hello";
        static char payload[] = "hello\n", event_id[] = "00112233445566778899aabbccddeeff", short_id[] = "0011";
        struct telem_ref *ref = NULL, *none = (struct telem_ref *)&ref;

        if (argc != 2)
                return 2;
        printf("config %d\n", tm_set_config_file(argv[1]));
        printf("opted in %d\n", tm_is_opted_in());
        printf("wrong %d\n", tm_create_record(&none, 1, wrong, 1));
        printf("none %d\n", none == NULL);
        printf("create %d\n", tm_create_record(&ref, 1, classification, 1));
        printf("event %d\n", tm_set_event_id(ref, event_id));
        printf("short event %d\n", tm_set_event_id(ref, short_id));
        printf("payload %d\n", tm_set_payload(ref, payload));
        printf("send %d\n", tm_send_record(ref));
        tm_free_record(ref);
        tm_free_record(NULL);
        return 0;
}

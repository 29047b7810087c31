/* hotplug.c: see hotplug.h. */
#include "machine/hotplug.h"

#include "base/console.h"
#include "base/failure.h"
#include "base/process.h"
#include "machine/coldplug.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/input.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUTTONS = 4, UEVENT = 8192, KEY_BITS = 8 * sizeof(unsigned long) };

static struct watch hotplug_uevents;
static struct watch hotplug_buttons[BUTTONS];
static char hotplug_button_names[BUTTONS][64];

static void hotplug_pressed(struct watch *watch)
{
    struct input_event event;
    ssize_t count;
    while ((count = read(watch->descriptor, &event, sizeof event)) == sizeof event)
        if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1) {
            say("power button");
            process_request(POWER_OFF);
        }
    if (count < 0 && errno == EAGAIN)
        return;
    /* The device is gone. */
    watch_remove(watch);
    close(watch->descriptor);
    watch->descriptor = -1;
}

static void hotplug_watch_button(const char *path)
{
    unsigned long keys[KEY_MAX / KEY_BITS + 1] = {0};
    size_t place = BUTTONS;
    for (size_t i = 0; i < BUTTONS; i++)
        if (hotplug_buttons[i].descriptor < 0)
            place = i;
        else if (strcmp(hotplug_button_names[i], path) == 0)
            return;
    if (place == BUTTONS)
        return;
    int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return;
    bool known = ioctl(file, (int)EVIOCGBIT(EV_KEY, (unsigned)sizeof keys), keys) >= 0;
    if (!known || !(keys[KEY_POWER / KEY_BITS] >> KEY_POWER % KEY_BITS & 1)) {
        close(file);
        return;
    }
    snprintf(hotplug_button_names[place], sizeof hotplug_button_names[place], "%s", path);
    hotplug_buttons[place] = (struct watch){.descriptor = file, .ready = hotplug_pressed};
    watch_add(&hotplug_buttons[place]);
}

static void hotplug_find_buttons(void)
{
    glob_t found;
    if (glob("/dev/input/event*", GLOB_NOSORT, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        hotplug_watch_button(found.gl_pathv[i]);
    globfree(&found);
}

/* In a process of its own: reading the modules' index takes time. */
static void hotplug_load_driver(const char *alias)
{
    struct child child;
    struct failure failure;
    pid_t pid = child_fork(&child, &failure);
    if (pid == 0)
        _exit(coldplug_load_module(alias, &failure) < 0);
    if (pid > 0)
        child_forget(&child);
}

/*
 * "add@/devices/...", then KEY=VALUE, each ended by a zero byte (Documentation/driver-api/basics:
 * kobject_uevent).
 */
static void hotplug_take_uevent(const char *text, size_t length)
{
    const char *end = text + length;
    bool input = false;
    if (strncmp(text, "add@", 4) != 0)
        return;
    for (const char *at = text; at < end; at += strlen(at) + 1) {
        if (strncmp(at, "MODALIAS=", 9) == 0)
            hotplug_load_driver(at + 9);
        input = input || strcmp(at, "SUBSYSTEM=input") == 0;
    }
    if (input)
        hotplug_find_buttons();
}

static void hotplug_take_uevents(struct watch *watch)
{
    char text[UEVENT + 1];
    struct sockaddr_nl from;
    socklen_t size = sizeof from;
    ssize_t length;
    while ((length = recvfrom(watch->descriptor, text, UEVENT, 0, (struct sockaddr *)&from,
                              &size)) > 0) {
        text[length] = '\0';
        /* The kernel's own, not somebody else's. */
        if (from.nl_pid == 0)
            hotplug_take_uevent(text, (size_t)length);
        size = sizeof from;
    }
}

void hotplug_start(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
    for (size_t i = 0; i < BUTTONS; i++)
        hotplug_buttons[i].descriptor = -1;
    int channel =
        socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (channel < 0 || bind(channel, (struct sockaddr *)&address, sizeof address) < 0) {
        say("hotplug: %s", strerror(errno));
        if (channel >= 0)
            close(channel);
        return;
    }
    hotplug_uevents = (struct watch){.descriptor = channel, .ready = hotplug_take_uevents};
    watch_add(&hotplug_uevents);
    hotplug_find_buttons();
}

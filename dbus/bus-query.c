/* SPDX-License-Identifier: Apache-2.0 */
#include "dbus/bus-query.h"

#include <errno.h>
#include <stdlib.h>

struct BusQuery {
    DBusPendingCall *pending;
    BusQueryHandler handler;
    void *userdata;
};

static void on_answer(DBusPendingCall *pending, void *userdata)
{
    BusQuery *query = userdata;
    DBusMessage *reply = dbus_pending_call_steal_reply(pending);

    if (!reply)
        return; /* only a call that is not completed has none */
    dbus_pending_call_unref(query->pending);
    query->pending = NULL;
    query->handler(query->userdata, reply);
    dbus_message_unref(reply);
}

int bus_query_new(BusService *service,
                  DBusMessage *message,
                  int timeout_msec,
                  BusQueryHandler handler,
                  void *userdata,
                  BusQuery **ret_query)
{
    _cleanup_(bus_query_freep) BusQuery *query = calloc(1, sizeof(*query));
    if (!query)
        return -ENOMEM;

    query->handler = handler;
    query->userdata = userdata;
    if (!dbus_connection_send_with_reply(bus_service_get_connection(service), message,
                                         &query->pending, timeout_msec))
        return -ENOMEM;
    if (!query->pending)
        return -ENOTCONN;
    if (!dbus_pending_call_set_notify(query->pending, on_answer, query, NULL))
        return -ENOMEM;

    *ret_query = TAKE_PTR(query);
    return 0;
}

BusQuery *bus_query_free(BusQuery *query)
{
    if (!query)
        return NULL;

    if (query->pending) {
        dbus_pending_call_cancel(query->pending);
        dbus_pending_call_unref(query->pending);
    }
    free(query);
    return NULL;
}

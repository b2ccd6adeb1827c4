/* SPDX-License-Identifier: Apache-2.0 */
/* A call of ours to another service on the bus, whose answer comes through the event loop. */
#pragma once

#include <dbus/dbus.h>

#include "common/cleanup.h"
#include "dbus/bus-service.h"

typedef struct BusQuery BusQuery;

/* @reply is the method's return or an error, that of a time-out (NoReply) and of a service that is
 * not there (ServiceUnknown) among them. It may free the query. */
typedef void (*BusQueryHandler)(void *userdata, DBusMessage *reply);

/* Sends @message, which the caller keeps, and waits @timeout_msec for the answer. -ENOMEM, or
 * -ENOTCONN when the bus is gone. */
int bus_query_new(BusService *service,
                  DBusMessage *message,
                  int timeout_msec,
                  BusQueryHandler handler,
                  void *userdata,
                  BusQuery **ret_query);

/* No answer comes after this. */
BusQuery *bus_query_free(BusQuery *query);
DEFINE_CLEANUP(BusQuery, bus_query_free);

"""Browses for a service with python3-zeroconf, in the place of a stranger on the network.

Prints the records of the first _imgtool._tcp service as JSON, waits until it says goodbye, prints "gone".
"""

import json
import queue

from zeroconf import ServiceBrowser, ServiceStateChange, Zeroconf

changes = queue.Queue()
zeroconf = Zeroconf()


def changed(zeroconf, service_type, name, state_change):
    changes.put((name, state_change))


def wait_for(wanted):
    while True:
        name, state = changes.get(timeout=10)
        if state is wanted:
            return name


browser = ServiceBrowser(zeroconf, "_imgtool._tcp.local.", handlers=[changed])
info = zeroconf.get_service_info("_imgtool._tcp.local.", wait_for(ServiceStateChange.Added), 5000)
texts = {key.decode(): value.decode() for key, value in info.properties.items()}
record = {"name": info.name, "host": info.server, "port": info.port, "texts": texts}
print(json.dumps({**record, "addresses": info.parsed_addresses()}), flush=True)
wait_for(ServiceStateChange.Removed)
print("gone")
zeroconf.close()

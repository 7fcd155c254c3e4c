/**
 * The store contract's subject for services of objects, whose requests a proxy makes fail.
 * @module
 */
import type { PruneStore } from "../src/index.ts";
import type { OpenedStore } from "./contract.ts";
import { afterFirst, failing, type FaultProxy, type ProxiedRequest } from "./fault-proxy.ts";

/** @param isListing whether a request asks for a page of a listing */
export function behindProxy(
  proxy: FaultProxy,
  store: PruneStore,
  isListing: (request: ProxiedRequest) => boolean,
): OpenedStore {
  return {
    store,
    writable: store,
    prunable: store,
    fail: (name, failure) => void (proxy.decide = failing(failure, ({ url }) => url.includes(name))),
    failWrites(name, failure) {
      proxy.decide = failing(failure, ({ method, url }) => method === "PUT" && url.includes(name));
    },
    failListings(failure) {
      proxy.decide = failing(failure, afterFirst(isListing));
    },
    close: () => proxy.close(),
  };
}

// @module-tag system
/** The contract, for every driver and every kind of server it meets. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { throwIfAborted } from "@imgtool/core";
import {
  chunkPath,
  encryptStore,
  generateStoreKey,
  openHttpStore,
  openLocalStore,
  openRemoteStore,
  openStore,
  type ReadStore,
  serveDirectory,
  servePull,
  StoreCipher,
  SyncLocalStore,
  type WriteStore,
} from "../src/index.ts";
import { openSyncStore, type SyncStore } from "../src/blocking.ts";
import { type Disguise, type Failure, storeContract } from "./contract.ts";
import { firstTimes, startFaultProxy } from "./fault-proxy.ts";
import { connectTo } from "./remote-peer.ts";

storeContract("local directory", {
  writable: true,
  prunable: true,
  failures: ["always"],
  open: async (root) => {
    const store = await openLocalStore(root);
    return {
      store,
      writable: store,
      prunable: store,
      fail(name) {
        // a folder in the place of the chunk: what a damaged file system or a clumsy copy leaves
        const path = join(root, chunkPath(name));
        rmSync(path);
        mkdirSync(path);
      },
    };
  },
});

storeContract("local directory, synchronous", {
  writable: true,
  failures: [],
  open: async (root) => {
    const store = asynchronous(new SyncLocalStore(root));
    return { store, writable: store };
  },
});

const key = generateStoreKey();
const cipher = new StoreCipher(key);
const disguise: Disguise = {
  storedName: (name) => cipher.storedName(name),
  storedBytes: (name, chunk) => cipher.sealChunk(cipher.storedName(name), chunk),
};

storeContract("local directory, encrypted", {
  writable: true,
  prunable: true,
  disguise,
  failures: ["always"],
  open: async (root) => {
    const store = encryptStore(await openLocalStore(root), key);
    return {
      store,
      writable: store,
      prunable: store,
      fail(name) {
        const path = join(root, chunkPath(cipher.storedName(name)));
        rmSync(path);
        mkdirSync(path);
      },
    };
  },
});

storeContract("local directory, synchronous, encrypted", {
  writable: true,
  disguise,
  failures: [],
  open: async (root) => {
    const store = asynchronous(openSyncStore({ directory: root, key }));
    return { store, writable: store };
  },
});

storeContract("HTTP from serveDirectory, writable, encrypted", {
  writable: true,
  disguise,
  failures: [],
  open: async (root) => {
    const server = await serveDirectory(root, { writable: true });
    const store = encryptStore(openHttpStore(server.url), key);
    return { store, writable: store, close: () => server.close() };
  },
});

storeContract("HTTP from serveDirectory", {
  writable: false,
  failures: [],
  open: async (root) => {
    const server = await serveDirectory(root);
    return { store: openHttpStore(server.url), close: () => server.close() };
  },
});

storeContract("HTTP from serveDirectory, writable", {
  writable: true,
  failures: [],
  open: async (root) => {
    const server = await serveDirectory(root, { writable: true });
    const store = openHttpStore(server.url);
    return { store, writable: store, close: () => server.close() };
  },
});

storeContract("HTTP through a bad network", {
  writable: false,
  failures: ["once", "always", "slow"],
  open: async (root) => {
    const server = await serveDirectory(root);
    const proxy = await startFaultProxy(server.url);
    return {
      store: openHttpStore(proxy.url, { retryDelay: 5, retries: 3, http2: false }),
      fail(name, failure) {
        const once = firstTimes(1, { kind: "drop" });
        proxy.decide = ({ url }) => {
          if (!url.includes(name)) return undefined;
          if (failure === "once") return once();
          return failure === "slow" ? { kind: "delay", milliseconds: 60_000 } : { kind: "status", status: 503 };
        };
      },
      close: async () => {
        await proxy.close();
        await server.close();
      },
    };
  },
});

storeContract("a group whose first member is dead", {
  writable: false,
  failures: ["once", "always", "slow"],
  open: async (root) => {
    const dead = await serveDirectory(root);
    await dead.close();
    const server = await serveDirectory(root);
    const proxy = await startFaultProxy(server.url);
    return {
      store: await openStore(`${dead.url}|${proxy.url}`, { retryDelay: 5, http2: false }),
      fail(name, failure) {
        const once = firstTimes(1, { kind: "drop" });
        proxy.decide = ({ url }) => {
          if (!url.includes(name)) return undefined;
          if (failure === "once") return once();
          return failure === "slow" ? { kind: "delay", milliseconds: 60_000 } : { kind: "status", status: 503 };
        };
      },
      close: async () => {
        await proxy.close();
        await server.close();
      },
    };
  },
});

storeContract("casync's remote protocol", {
  writable: false,
  failures: ["once", "always", "slow"],
  open: async (root) => {
    const local = await openLocalStore(root);
    const failures = new Map<string, Failure>();
    const connect = connectTo((channel) => {
      const failing: ReadStore = {
        ...local,
        location: root,
        has: (name) => local.has(name),
        async get(name) {
          const failure = failures.get(name);
          if (failure === "slow") await new Promise((resolve) => setTimeout(resolve, 60_000).unref());
          if (failure === "always") throw new Error("the disk fails");
          if (failure === "once") {
            failures.delete(name);
            channel.destroy();
          }
          return local.get(name);
        },
      };
      return servePull({ channel, stores: [failing] });
    });
    return {
      store: openRemoteStore(connect, root, `host:${root}`),
      fail: (name, failure) => void failures.set(name, failure),
    };
  },
});

/** What threads have of a store behind the asynchronous interface, as the chunk pipeline has it in its threads. */
function asynchronous(store: SyncStore): WriteStore {
  return {
    location: store.location,
    async has(name, signal) {
      throwIfAborted(signal);
      return store.has(name);
    },
    async keep(name, signal) {
      throwIfAborted(signal);
      return store.keep(name);
    },
    async get(name, signal, maxBytes) {
      throwIfAborted(signal);
      return store.get(name, maxBytes);
    },
    async put(name, chunk, signal) {
      throwIfAborted(signal);
      return store.put(name, chunk);
    },
    async flush() {
      store.flush();
    },
    async close() {
      store[Symbol.dispose]();
    },
  };
}

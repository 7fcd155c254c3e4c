// @module-tag system
/** The contract, for every driver and every kind of server it meets. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { throwIfAborted } from "@imgtool/core";
import { temporaryFolder } from "@imgtool/testkit";
import {
  CachedStore,
  type ChunkName,
  chunkPath,
  encryptStore,
  generateStoreKey,
  openHttpStore,
  openLocalStore,
  openRemoteStore,
  openStore,
  openWebDavStore,
  type ReadStore,
  serveDirectory,
  servePull,
  StoreCipher,
  SyncLocalStore,
  type WriteStore,
} from "../src/index.ts";
import { openSyncStore, type SyncStore } from "../src/blocking.ts";
import {
  type Disguise,
  every,
  listFailures,
  none,
  type Not,
  type OpenedStore,
  type ReadFailure,
  readFailures,
  storeContract,
  writeFailures,
} from "./contract.ts";
import { afterFirst, failing, type FaultProxy, startFaultProxy } from "./fault-proxy.ts";
import { connectTo } from "./remote-peer.ts";

const disk = "a disk that fails for a moment is the kernel's to repeat; what it answers then is final";
const elsewhere = "the same driver is tested behind a bad network";
const readOnly: Not = { not: "the server takes no writes" };
const noListing: Not = { not: "web servers have no listing of their own" };

/** What all stores in a directory have in common. */
const inFiles = {
  reads: { ...none(readFailures, disk), always: true },
  writes: none(writeFailures, disk),
  renews: true,
} as const;

storeContract("local directory", {
  ...inFiles,
  lists: none(listFailures, disk),
  prunesFiles: true,
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
  ...inFiles,
  reads: none(readFailures, disk),
  lists: { not: "threads of the chunk pipeline only read and write" },
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
  ...inFiles,
  lists: none(listFailures, disk),
  prunesFiles: true,
  disguise,
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
  ...inFiles,
  reads: none(readFailures, disk),
  lists: { not: "threads of the chunk pipeline only read and write" },
  disguise,
  open: async (root) => {
    const store = asynchronous(openSyncStore({ directory: root, key }));
    return { store, writable: store };
  },
});

/** A store on a web server of ours behind a bad network. */
async function badServer(root: string): Promise<OpenedStore> {
  const server = await serveDirectory(root, { writable: true });
  const proxy = await startFaultProxy(server.url);
  const store = openHttpStore(proxy.url, { retryDelay: 5, retries: 3, http2: false });
  return {
    store,
    writable: store,
    ...failuresOf(proxy),
    close: async () => {
      await proxy.close();
      await server.close();
    },
  };
}

/** How requests for a chunk are made to fail. @param fileName what the chunk is called on the server */
function failuresOf(
  proxy: FaultProxy,
  fileName: (name: ChunkName) => string = (name) => name,
): Required<Pick<OpenedStore, "fail" | "failWrites">> {
  return {
    fail: (name, failure) => void (proxy.decide = failing(failure, ({ url }) => url.includes(fileName(name)))),
    failWrites(name, failure) {
      proxy.decide = failing(failure, ({ method, url }) => method === "PUT" && url.includes(fileName(name)));
    },
  };
}

storeContract("HTTP from serveDirectory, read-only", {
  reads: none(readFailures, elsewhere),
  writes: readOnly,
  renews: readOnly,
  lists: noListing,
  open: async (root) => {
    const server = await serveDirectory(root);
    return { store: openHttpStore(server.url), close: () => server.close() };
  },
});

storeContract("HTTP from serveDirectory, writable, through a bad network", {
  reads: every(readFailures),
  writes: every(writeFailures),
  renews: true,
  lists: noListing,
  open: badServer,
});

storeContract("HTTP from serveDirectory, writable, encrypted, through a bad network", {
  reads: every(readFailures),
  writes: every(writeFailures),
  renews: true,
  lists: noListing,
  disguise,
  open: async (root) => {
    const server = await serveDirectory(root, { writable: true });
    const proxy = await startFaultProxy(server.url);
    const store = encryptStore(openHttpStore(proxy.url, { retryDelay: 5, retries: 3, http2: false }), key);
    return {
      store,
      writable: store,
      ...failuresOf(proxy, (name) => cipher.storedName(name)),
      close: async () => {
        await proxy.close();
        await server.close();
      },
    };
  },
});

storeContract("HTTP from serveDirectory, prunable, through a bad network", {
  reads: every(readFailures),
  writes: every(writeFailures),
  renews: true,
  lists: every(listFailures),
  open: async (root) => {
    const server = await serveDirectory(root, { prunable: true });
    const proxy = await startFaultProxy(server.url);
    const store = await openWebDavStore(proxy.url, { retryDelay: 5, retries: 3, http2: false });
    return {
      store,
      writable: store,
      prunable: store,
      ...failuresOf(proxy),
      failListings(failure) {
        proxy.decide = failing(
          failure,
          afterFirst(({ method }) => method === "PROPFIND"),
        );
      },
      close: async () => {
        await proxy.close();
        await server.close();
      },
    };
  },
});

storeContract("a group whose first member is dead", {
  reads: every(readFailures),
  writes: { not: "groups are only read: openWriteStore() refuses them" },
  renews: { not: "groups are only read" },
  lists: { not: "groups are only read: openPruneStore() refuses them" },
  open: async (root) => {
    const dead = await serveDirectory(root);
    await dead.close();
    const server = await serveDirectory(root);
    const proxy = await startFaultProxy(server.url);
    return {
      store: await openStore(`${dead.url}|${proxy.url}`, { retryDelay: 5, http2: false }),
      fail: failuresOf(proxy).fail,
      close: async () => {
        await proxy.close();
        await server.close();
      },
    };
  },
});

storeContract("a cached store behind a bad network", {
  reads: every(readFailures),
  writes: { not: "what is read through a copy is written past it" },
  renews: { not: "what is read through a copy is written past it" },
  lists: { not: "what is read through a copy is listed past it" },
  open: async (root) => {
    const { store, fail, close } = await badServer(root);
    const folder = temporaryFolder();
    return {
      store: await CachedStore.open(store, { directory: folder.path, maxBytes: 50_000_000 }),
      ...(fail === undefined ? {} : { fail }),
      close: async () => {
        await close?.();
        folder[Symbol.dispose]();
      },
    };
  },
});

const byProgram: Not = { not: "the program on the other machine writes, for an index there: see remote.test.ts" };

storeContract("casync's remote protocol", {
  reads: { once: true, always: true, slow: true, cut: { not: "once ends the connection within the answer, too" } },
  writes: byProgram,
  renews: byProgram,
  lists: { not: "the protocol asks for chunks by their names" },
  open: async (root) => {
    const local = await openLocalStore(root);
    const failures = new Map<string, ReadFailure>();
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

/**
 * Serves an image as a network block device, on a Unix socket or a port.
 * @module
 */
import { existsSync, unlinkSync } from "node:fs";
import { type AddressInfo, connect, createServer, isIPv6, type Server, type Socket } from "node:net";
import { resolve } from "node:path";
import { EnvironmentError, errorMessage, throwIfAborted } from "@imgtool/core";
import { type NbdExport, serveConnection } from "./nbd-connection.ts";

export interface NbdServerOptions extends NbdExport {
  /** Path of the Unix socket, or address and port (0: any free one) to listen on. */
  readonly listen: { readonly path: string } | { readonly host: string; readonly port: number };
  /** Ends the server. */
  readonly signal?: AbortSignal | undefined;
}

export interface NbdServer extends AsyncDisposable {
  /** Where clients find it, as the NBD URI specification has it. */
  readonly uri: string;
  /** Clients that are connected. */
  readonly clients: number;
}

/**
 * Serves until it is disposed of or the signal fires. Who can connect can read the image: a Unix socket is
 * its owner's alone.
 * @throws EnvironmentError `address-not-available`; AbortedError
 * @example await using server = await serveBlockDevice({ image, name: "disk", listen: { path: "disk.sock" } });
 */
export async function serveBlockDevice(options: NbdServerOptions): Promise<NbdServer> {
  const { listen, name, signal } = options;
  throwIfAborted(signal);
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    void serveConnection(socket, options);
  });
  if ("path" in listen && existsSync(listen.path)) await removeDeadSocket(listen.path);
  await start(server, listen);
  const close = async (): Promise<void> => {
    signal?.removeEventListener("abort", onAbort);
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolved) => server.close(resolved));
  };
  const onAbort = (): void => void close();
  signal?.addEventListener("abort", onAbort, { once: true });
  return {
    uri: uriOf(server, listen, name),
    get clients() {
      return sockets.size;
    },
    [Symbol.asyncDispose]: close,
  };
}

function start(server: Server, listen: NbdServerOptions["listen"]): Promise<void> {
  // The socket's mode comes from the umask.
  const umask = "path" in listen ? process.umask(0o177) : undefined;
  return new Promise<void>((resolved, reject) => {
    server.once("error", (error) => {
      const where = "path" in listen ? listen.path : `${listen.host}:${listen.port}`;
      reject(
        new EnvironmentError(`cannot listen on ${where}: ${errorMessage(error)}`, {
          code: "address-not-available",
          hint: "name another socket or port, or end what uses this one",
          data: { address: where },
          cause: error,
        }),
      );
    });
    if ("path" in listen) server.listen(listen.path, resolved);
    else server.listen(listen.port, listen.host, resolved);
  }).finally(() => {
    if (umask !== undefined) process.umask(umask);
  });
}

/** A socket that nobody listens on is what a killed server has left. */
async function removeDeadSocket(path: string): Promise<void> {
  const isDead = await new Promise<boolean>((resolved) => {
    const socket = connect(path);
    socket
      .once("connect", () => resolved(false))
      .once("error", (error) => resolved(/ECONNREFUSED/.test(String(error))));
    socket.once("connect", () => socket.destroy());
  });
  if (isDead) unlinkSync(path);
}

function uriOf(server: Server, listen: NbdServerOptions["listen"], name: string): string {
  const path = encodeURIComponent(name);
  if ("path" in listen) return `nbd+unix:///${path}?socket=${encodeURI(resolve(listen.path)).replaceAll("&", "%26")}`;
  const { port } = server.address() as AddressInfo;
  return `nbd://${isIPv6(listen.host) ? `[${listen.host}]` : listen.host}:${port}/${path}`;
}

/**
 * A proxy of FTP's control connection that does to commands what networks and servers do. Data
 * connections go past it: the server names their ports only (EPSV), or the same address (PASV).
 * @module
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export type FtpFault =
  /** Answers in the server's place. */
  | { readonly kind: "reply"; readonly text: string }
  /** Passes another command on. */
  | { readonly kind: "instead"; readonly command: string }
  /** Closes the connection without an answer. */
  | { readonly kind: "drop" }
  /** Passes the command on, and closes the connection in the place of the answer. */
  | { readonly kind: "lost" }
  /** Passes the command on after so many milliseconds. */
  | { readonly kind: "delay"; readonly milliseconds: number };

export interface FtpProxy {
  readonly port: number;
  /** Decides for each command; undefined passes it on. */
  decide: (command: string) => FtpFault | undefined;
  readonly commands: string[];
  /** Most connections that were open at once. */
  peak: number;
  /** Connections that were made. */
  connections: number;
  /** Connections that there are. */
  open(): number;
  /** Ends all connections that there are, as a server does that restarts. */
  drop(): void;
  close(): Promise<void>;
}

export async function startFtpProxy(upstreamPort: number): Promise<FtpProxy> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(upstreamPort, "127.0.0.1");
    sockets.add(client);
    proxy.connections++;
    proxy.peak = Math.max(proxy.peak, sockets.size);
    client.once("close", () => {
      sockets.delete(client);
      upstream.destroy();
    });
    upstream.once("close", () => client.destroy());
    for (const socket of [client, upstream]) {
      socket.on("error", () => socket.destroy());
      // Answers in several pieces would wait for each other.
      socket.setNoDelay(true);
    }
    upstream.pipe(client);
    let waiting = "";
    client.on("data", (bytes: Buffer) => {
      waiting += bytes.toString("latin1");
      for (let end = waiting.indexOf("\r\n"); end >= 0; end = waiting.indexOf("\r\n")) {
        const command = waiting.slice(0, end);
        waiting = waiting.slice(end + 2);
        handle(command, client, upstream);
      }
    });
  });
  const handle = (command: string, client: Socket, upstream: Socket): void => {
    proxy.commands.push(command);
    const fault = proxy.decide(command);
    const pass = (line = command): void => void upstream.write(`${line}\r\n`, "latin1");
    if (fault === undefined) pass();
    else if (fault.kind === "instead") pass(fault.command);
    else if (fault.kind === "drop") client.destroy();
    else if (fault.kind === "lost") {
      upstream.unpipe(client);
      upstream.once("data", () => client.destroy());
      upstream.resume();
      pass();
    } else if (fault.kind === "reply") client.write(`${fault.text}\r\n`);
    else setTimeout(pass, fault.milliseconds).unref();
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const drop = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const proxy: FtpProxy = {
    port: (server.address() as AddressInfo).port,
    decide: () => undefined,
    commands: [],
    peak: 0,
    connections: 0,
    open: () => sockets.size,
    drop,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        drop();
      }),
  };
  return proxy;
}

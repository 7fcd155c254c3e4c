/**
 * Runs casync or imgtool on another machine through ssh, which authenticates both sides and checks the
 * host's key. The environment says which programs, as for casync: CASYNC_SSH_PATH (ssh) and
 * CASYNC_REMOTE_PATH (casync).
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { EnvironmentError, errorMessage, NetworkError } from "@imgtool/core";
import { shellWord } from "@imgtool/host";
import { paced, pacedInput, type RateLimit } from "../rate-limit.ts";
import { type Channel, type Connect, PeerGoneError, printable, type RemoteFiles } from "./connection.ts";
import { defaultSilence } from "./silence.ts";
import type { SshLocation } from "./ssh-location.ts";

export interface SshOptions {
  /**
   * A program to run in the place of ssh, with ssh's arguments: [-p PORT] [USER@]HOST COMMAND....
   * Default: CASYNC_SSH_PATH, or ssh.
   */
  readonly ssh?: string | undefined;
  /** The program at the other end, which speaks casync's protocol. Default: CASYNC_REMOTE_PATH, or casync. */
  readonly remoteProgram?: string | undefined;
  /**
   * How long a machine that owes an answer may say nothing, in milliseconds; of one that is written to in
   * casync's protocol, whose program may have much to look through, nothing is expected. Default 30000.
   */
  readonly sshTimeout?: number | undefined;
  /** A limit of what is received and sent, which several channels may share. */
  readonly rateLimit?: RateLimit | undefined;
}

/** Opens channels to the machine of a location. */
export function sshConnect(location: SshLocation, options: SshOptions = {}): Connect {
  return async (files, direction, signal) => {
    // Empty variables count as unset.
    const ssh = options.ssh ?? (process.env["CASYNC_SSH_PATH"] || undefined);
    const remoteProgram = options.remoteProgram ?? (process.env["CASYNC_REMOTE_PATH"] || "casync");
    const args = [
      ...(location.port === undefined ? [] : ["-p", String(location.port)]),
      // A program in ssh's place is called as casync calls it; destinations never begin with a dash.
      ...(ssh === undefined ? ["--"] : []),
      location.destination,
      remoteProgram,
      direction,
      ...remoteArguments(files),
    ];
    return new SshChannel(ssh ?? "ssh", args, {
      location,
      remoteProgram,
      silence: options.sshTimeout,
      rateLimit: options.rateLimit,
      signal,
    });
  };
}

/** A channel to a subsystem of the machine's ssh server, such as sftp. */
export function sshSubsystem(location: SshLocation, subsystem: string, options: SshOptions = {}): Channel {
  const ssh = options.ssh ?? (process.env["CASYNC_SSH_PATH"] || undefined);
  const args = [
    ...(location.port === undefined ? [] : ["-p", String(location.port)]),
    "-s",
    ...(ssh === undefined ? ["--"] : []),
    location.destination,
    subsystem,
  ];
  return new SshChannel(ssh ?? "ssh", args, {
    location,
    remoteProgram: subsystem,
    silence: options.sshTimeout,
    rateLimit: options.rateLimit,
  });
}

/** BASE ARCHIVE INDEX WSTORE [RSTORE...], quoted for the shell that ssh starts. */
function remoteArguments({ archive, index, stores = [] }: RemoteFiles): readonly string[] {
  const [store, ...others] = stores;
  return [undefined, archive, index, store, ...others].map((path) => (path === undefined ? "-" : remotePath(path)));
}

function remotePath(path: string): string {
  // Neither "-", which means none, nor an option.
  const safe = path.startsWith("-") ? `./${path}` : path;
  return /^[\w@%+=:,./-]+$/.test(safe) ? safe : shellWord(safe);
}

/** Bytes that may wait for their turn at once, under a limit of the rate that many connections share. */
const heldBack: number = 4 * 1024 ** 2;
/** What setTimeout() takes, in milliseconds. */
const longestTimer = 2 ** 31 - 1;

/** What ssh and the other end say of themselves, up to this length, is shown when they fail. */
const maxStderr = 4096;
/** Milliseconds. */
const killAfter = 2000;
const sshFailed = 255;
const commandNotFound = 127;

interface FarSide {
  readonly location: SshLocation;
  readonly remoteProgram: string;
  readonly silence: number | undefined;
  readonly rateLimit: RateLimit | undefined;
  readonly signal?: AbortSignal | undefined;
}

class SshChannel implements Channel {
  readonly name: string;
  readonly silence: number;
  readonly input: AsyncIterable<Uint8Array>;
  readonly #child: ChildProcess;
  readonly #rateLimit: RateLimit | undefined;
  readonly #program: string;
  readonly #remoteProgram: string;
  readonly #exit: Promise<number | Error>;
  #stderr = Buffer.alloc(0);
  #gone = false;

  constructor(
    program: string,
    args: readonly string[],
    { location, remoteProgram, silence, rateLimit, signal }: FarSide,
  ) {
    this.name = location.destination;
    // What is held back here is no silence of the other side.
    const held = rateLimit === undefined ? 0 : (heldBack / rateLimit.bytesPerSecond) * 1000;
    this.silence = Math.min((silence ?? defaultSilence) + held, longestTimer);
    this.#rateLimit = rateLimit;
    this.#program = program;
    this.#remoteProgram = remoteProgram;
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], signal });
    this.#child = child;
    this.input = rateLimit === undefined ? child.stdout : pacedInput(child.stdout, rateLimit);
    child.stderr.on("data", (bytes: Buffer) => {
      this.#stderr = Buffer.concat([this.#stderr, bytes]).subarray(-maxStderr);
    });
    // A write after the other end has gone: whoever reads next is told why.
    child.stdin.on("error", () => (this.#gone = true));
    child.stdout.on("error", () => {});
    this.#exit = new Promise((resolve) => {
      child.once("error", resolve);
      child.once("close", (code) => resolve(code ?? 128));
    });
  }

  async write(bytes: Uint8Array): Promise<void> {
    const { stdin } = this.#child;
    if (this.#gone || stdin === null || stdin.destroyed || stdin.writableEnded) throw new PeerGoneError(this.name);
    const isDrained = stdin.write(bytes);
    // Behind the write, which keeps its place among others: whoever awaits it is held back.
    await paced(this.#rateLimit, bytes.length);
    if (isDrained || !stdin.writableNeedDrain) return;
    const drained = once(stdin, "drain").catch(() => {
      throw new PeerGoneError(this.name);
    });
    await Promise.race([drained, this.#exit]);
  }

  end(): void {
    this.#child.stdin?.end();
  }

  destroy(): void {
    this.#child.stdin?.destroy();
    this.#child.stdout?.destroy();
    // What ssh has started may outlive it, and hold this one.
    this.#child.stderr?.destroy();
    this.#child.kill();
    // One that is stopped takes no other signal.
    setTimeout(() => this.#child.kill("SIGKILL"), killAfter).unref();
  }

  async ended(): Promise<NetworkError | EnvironmentError | undefined> {
    this.end();
    this.#child.stdout?.resume();
    const exit = await this.#exit;
    if (exit === 0) return undefined;
    if (exit instanceof Error) {
      return new EnvironmentError(`cannot run ${this.#program}: ${errorMessage(exit)}`, {
        code: "ssh-not-started",
        hint: "install an ssh client: apt-get install openssh-client",
        data: { program: this.#program },
        cause: exit,
      });
    }
    const said = printable(this.#stderr.toString("utf8"));
    const what = exit === sshFailed ? `ssh cannot reach ${this.name}` : `${this.name} ends with status ${exit}`;
    return new NetworkError(said === "" ? what : `${what}: ${said}`, {
      code: exit === sshFailed ? "ssh-failed" : "remote-failed",
      hint: this.#hint(exit),
      data: { peer: this.name, status: exit, said },
    });
  }

  #hint(exit: number): string {
    if (exit === sshFailed) return `try: ssh ${this.name} true`;
    if (exit !== commandNotFound) return `what the far side (${this.#remoteProgram}) says is in the message`;
    return `install casync or imgtool on ${this.name}, and name it there: CASYNC_REMOTE_PATH=imgtool`;
  }
}

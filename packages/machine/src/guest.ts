/**
 * Drives a guest by its serial console, as a person would: waits for lines, logs in, types commands
 * and reads what they print.
 * @module
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { stripVTControlCharacters } from "node:util";
import { ProcessError } from "@imgtool/core";
import { startMachine, type MachineOptions, type RunningMachine } from "./start-machine.ts";

export interface WaitOptions {
  /** Milliseconds. Default 20 minutes: software emulation on a busy machine is slow. */
  readonly patience?: number;
}

export interface CommandResult {
  readonly exitCode: number;
  /** Standard output and standard error, lines ended by a line feed. */
  readonly output: string;
}

export interface Guest extends AsyncDisposable {
  /** Everything that the console has shown, without control sequences; the last megabyte. */
  readonly transcript: string;
  /**
   * Waits until the console shows the pattern, in what was not waited for before. Returns the match.
   * @throws ProcessError `guest-silent` after `patience`, `guest-ended` when the machine ends before,
   *   `guest-panicked` when its kernel gives up
   */
  waitFor(pattern: RegExp, options?: WaitOptions): Promise<RegExpExecArray>;
  /** Waits for the login prompt, logs in, and makes the shell quiet. */
  login(user: string, password?: string, options?: WaitOptions): Promise<void>;
  /** Types text as it is. */
  type(text: string): void;
  /** Runs a shell command after `login`. */
  run(command: string, options?: WaitOptions): Promise<CommandResult>;
  /** Powers the guest off, and returns the status that it ended with. */
  powerOff(options?: WaitOptions): Promise<number>;
  /** Resolves when the machine has ended. */
  readonly ended: Promise<number>;
}

export interface GuestOptions extends MachineOptions {
  /** Called with each line of the console. */
  readonly onLine?: (line: string) => void;
}

const patient = 20 * 60_000;
const kept = 1024 ** 2;

/**
 * Starts a machine and takes its console. Disposing of the guest ends the machine at once.
 * @throws what startMachine throws
 */
export async function bootGuest(options: GuestOptions): Promise<Guest> {
  return driveConsole(await startMachine({ ...options, console: "pipes" }), options.onLine);
}

/** Takes the console of a machine that runs already. */
export function driveConsole(machine: RunningMachine, onLine?: (line: string) => void): Guest {
  return new ConsoleGuest(machine, onLine);
}

class ConsoleGuest implements Guest {
  readonly #machine: RunningMachine;
  readonly #onLine: ((line: string) => void) | undefined;
  readonly ended: Promise<number>;
  transcript = "";
  /** How much of the transcript was waited for. */
  #seen = 0;
  #line = "";
  #hasEnded = false;
  readonly #changed = new EventTarget();

  constructor(machine: RunningMachine, onLine: ((line: string) => void) | undefined) {
    this.#machine = machine;
    this.#onLine = onLine;
    this.ended = machine.ended;
    const decoder = new TextDecoder();
    machine.output?.on("data", (bytes: Buffer) => this.#receive(decoder.decode(bytes, { stream: true })));
    const end = (): void => {
      this.#hasEnded = true;
      this.#changed.dispatchEvent(new Event("change"));
    };
    this.ended.then(end, end);
  }

  #receive(text: string): void {
    this.#line += text;
    // A control sequence may come in parts: only whole lines, and prompts, which have none, are read.
    const lines = this.#line.split(/\r*\n/);
    this.#line = lines.pop() ?? "";
    for (const line of lines) {
      const plain = stripVTControlCharacters(line);
      this.#append(`${plain}\n`);
      this.#onLine?.(plain);
    }
    this.#changed.dispatchEvent(new Event("change"));
  }

  #append(text: string): void {
    this.transcript += text;
    const excess = this.transcript.length - 2 * kept;
    if (excess <= 0) return;
    this.transcript = this.transcript.slice(kept + excess);
    this.#seen = Math.max(0, this.#seen - kept - excess);
  }

  async waitFor(pattern: RegExp, { patience = patient }: WaitOptions = {}): Promise<RegExpExecArray> {
    const limit = AbortSignal.timeout(patience);
    for (;;) {
      const pending = `${this.transcript.slice(this.#seen)}${stripVTControlCharacters(this.#line)}`;
      const match = new RegExp(pattern.source, pattern.flags.replaceAll(/[gy]/g, "")).exec(pending);
      if (match !== null) {
        // What is left of an unfinished line was waited for together with it.
        const end = match.index + match[0].length;
        const whole = this.transcript.length - this.#seen;
        if (end > whole) {
          this.#append(stripVTControlCharacters(this.#line));
          this.#line = "";
        }
        this.#seen += end;
        return match;
      }
      if (this.#hasEnded) throw await this.#ended(pattern);
      // A kernel that has given up waits for its power to go.
      if (/Kernel panic - not syncing/.test(pending))
        throw this.#failure("guest-panicked", `panicked before it showed ${String(pattern)}`);
      if (limit.aborted) throw this.#failure("guest-silent", `did not show ${String(pattern)} within ${patience} ms`);
      // Rejects when the time is up, which the next turn says better.
      await once(this.#changed, "change", { signal: limit }).catch(() => {});
    }
  }

  async #ended(pattern: RegExp): Promise<Error> {
    try {
      const status = await this.ended;
      return this.#failure("guest-ended", `ended with status ${status} before it showed ${String(pattern)}`);
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  #failure(code: string, what: string): ProcessError {
    const tail = `${this.transcript}${this.#line}`.trimEnd().split("\n").slice(-40).join("\n");
    return new ProcessError(`the guest ${what}; its console ends with:\n${tail}`, { code, data: { output: tail } });
  }

  type(text: string): void {
    this.#machine.input?.write(text);
  }

  async login(user: string, password?: string, options?: WaitOptions): Promise<void> {
    await this.waitFor(/ login: ?$/, options);
    this.type(`${user}\n`);
    if (password !== undefined) {
      await this.waitFor(/Password: ?$/i, options);
      this.type(`${password}\n`);
    }
    // The login shell's own prompt and line editing differ: sh has none of it.
    await this.waitFor(/[#$] ?$/, options);
    this.type("exec sh\n");
    this.type("PS1= PS2= TERM=dumb; stty -echo cols 1000; dmesg -n 1 2>/dev/null\n");
    await this.run("true", options);
  }

  async run(command: string, options?: WaitOptions): Promise<CommandResult> {
    const mark = randomBytes(8).toString("hex");
    // In two parts, so that what is typed is not taken for what is printed where the console echoes.
    this.type(`echo; echo "beg""in ${mark}"; { ${command}\n} 2>&1; echo "e""nd ${mark} $?"\n`);
    await this.waitFor(new RegExp(`begin ${mark}\\r?\\n`), options);
    const match = await this.waitFor(new RegExp(`^([^]*?)end ${mark} (\\d+)`), options);
    return { output: match[1] ?? "", exitCode: Number(match[2]) };
  }

  async powerOff({ patience = patient }: WaitOptions = {}): Promise<number> {
    this.type("systemctl poweroff || poweroff -f\n");
    const timer = AbortSignal.timeout(patience);
    const late = once(timer, "abort").then(() => {
      throw this.#failure("guest-silent", `did not power off within ${patience} ms`);
    });
    return await Promise.race([this.ended, late]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#machine.kill();
    await this.ended.catch(() => {});
  }
}

/**
 * One error class for every kind of failure. Each carries a stable `code` for programs, `data` with
 * what was expected and found, a `hint` that says what to do next, and the exit code the command
 * line ends with (docs/exit-codes.md).
 * @module
 */

export interface ErrorOptions {
  /** Stable identifier, kebab-case; programs compare this, never the message. */
  readonly code?: string;
  /** What the user can do about it: one sentence or one command. */
  readonly hint?: string;
  /** The facts of the message as data: file, line, offset, expected, found. */
  readonly data?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** Base of everything imgtool throws on purpose. Anything else that is thrown is a bug. */
export class ImgtoolError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly data: Readonly<Record<string, unknown>>;
  /** Process exit code of the command line for this kind of failure. */
  get exitCode(): number {
    return 1;
  }

  constructor(message: string, options: ErrorOptions & { readonly code: string }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = options.code;
    this.hint = options.hint;
    this.data = options.data ?? {};
  }
}

/** The command line or the configuration asks for something that cannot be. Exit code 2. */
export class ConfigError extends ImgtoolError {
  override get exitCode(): number {
    return 2;
  }
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { code: "config-invalid", ...options });
  }
}

/** Bytes that do not have the form they claim: a truncated index, a record out of order. Exit code 3. */
export class FormatError extends ImgtoolError {
  override get exitCode(): number {
    return 3;
  }
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { code: "format-invalid", ...options });
  }
}

/** Bytes whose digest is not the one promised. Exit code 3. */
export class IntegrityError extends ImgtoolError {
  override get exitCode(): number {
    return 3;
  }
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { code: "integrity", ...options });
  }
}

/** A file, chunk, package or path that should be there and is not. Exit code 4. */
export class NotFoundError extends ImgtoolError {
  override get exitCode(): number {
    return 4;
  }
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { code: "not-found", ...options });
  }
}

/** Something is in the way under the final name. Exit code 5. */
export class ExistsError extends ImgtoolError {
  override get exitCode(): number {
    return 5;
  }
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { code: "exists", ...options });
  }
}

/** The machine lacks something: a host tool, space, a permission, a kernel feature. Exit code 6. */
export class EnvironmentError extends ImgtoolError {
  override get exitCode(): number {
    return 6;
  }
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { code: "environment", ...options });
  }
}

/** A program that imgtool ran ended with a failure. Exit code 7. */
export class ProcessError extends ImgtoolError {
  override get exitCode(): number {
    return 7;
  }
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { code: "process-failed", ...options });
  }
}

/** A server that does not answer, or not with what was asked for. Exit code 8. */
export class NetworkError extends ImgtoolError {
  override get exitCode(): number {
    return 8;
  }
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { code: "network", ...options });
  }
}

/** The caller's AbortSignal fired. Exit code 130, as a shell reports Ctrl-C. */
export class AbortedError extends ImgtoolError {
  override get exitCode(): number {
    return 130;
  }
  constructor(message = "interrupted", options: ErrorOptions = {}) {
    super(message, { code: "aborted", ...options });
  }
}

/** The `code` of a Node.js system error (`ENOENT`, …), or undefined for anything else. */
export function systemErrorCode(error: unknown): string | undefined {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return undefined;
}

/**
 * The message of anything that can be thrown. Of a system error only what the system says, without
 * the call and the path: `permission denied (EACCES)`. Whoever catches it names the path.
 */
export function errorMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = systemErrorCode(error);
  if (code === undefined || !error.message.startsWith(`${code}: `)) return error.message;
  const words = error.message.slice(code.length + 2).replace(/, \w+( '.*')?$/s, "");
  return `${words} (${code})`;
}

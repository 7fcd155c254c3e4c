/**
 * Errors across threads: structured cloning keeps neither the class of an error nor its properties.
 * @module
 */
import {
  ConfigError,
  EnvironmentError,
  errorMessage,
  type ErrorOptions,
  FormatError,
  ImgtoolError,
  IntegrityError,
} from "@imgtool/core";

export interface PackedError {
  readonly name: string;
  readonly message: string;
  readonly code: string | undefined;
  readonly hint: string | undefined;
  readonly data: Readonly<Record<string, unknown>>;
  readonly stack: string | undefined;
}

type ErrorClass = new (message: string, options?: ErrorOptions) => ImgtoolError;
/** What the code that runs in workers throws. */
const classes: Readonly<Record<string, ErrorClass>> = { ConfigError, EnvironmentError, FormatError, IntegrityError };

export function packError(error: unknown): PackedError {
  const known = error instanceof ImgtoolError ? error : undefined;
  return {
    name: error instanceof Error ? error.name : "Error",
    message: errorMessage(error),
    code: known?.code,
    hint: known?.hint,
    data: known?.data ?? {},
    stack: error instanceof Error ? error.stack : undefined,
  };
}

export function unpackError(packed: PackedError): Error {
  const errorClass = Object.hasOwn(classes, packed.name) ? classes[packed.name] : undefined;
  if (errorClass === undefined || packed.code === undefined) {
    const error = new Error(packed.message);
    if (packed.stack !== undefined) error.stack = packed.stack;
    return error;
  }
  const { message, code, data } = packed;
  return new errorClass(message, { code, data, ...(packed.hint === undefined ? {} : { hint: packed.hint }) });
}

/**
 * A thread that encrypts pieces of a file.
 * @module
 */
import { servePieces } from "../worker-pieces.ts";
import { encryptPiece, type EncryptTarget } from "./encrypt-range.ts";

servePieces((target) => (index) => encryptPiece(target as EncryptTarget, index));

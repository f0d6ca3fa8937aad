/** Names of classes, as tables of labels and plans write them. Importable by a browser. */
import { z } from "zod";

/** Letters, digits and a few signs: a name of a class, not a report. */
export const labelTextSchema = z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9 ._+-]{0,46}[A-Za-z0-9+])?$/);

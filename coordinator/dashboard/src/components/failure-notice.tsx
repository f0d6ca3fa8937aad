import type { ReactNode } from "react";
import type { Failure } from "../api.ts";
import { Notice } from "./notice.tsx";

/** What a person does about each failure, when there is nothing else to show. */
export function FailureNotice({ failure }: { readonly failure: Failure }): ReactNode {
  switch (failure) {
    case "locked":
      return (
        <Notice title="This page is locked">
          <p>Open it with the address that the coordinator printed when it started. It looks like this:</p>
          <pre>{location.origin}/?token=…</pre>
          <p className="dimmed">
            The token in it is for the coordinator's operators. This browser keeps it in a cookie from then
            on.
          </p>
        </Notice>
      );
    case "incompatible":
      return (
        <Notice title="Page and coordinator are of different versions">
          <p>
            Reload this page. If that does not help, run <code>npm run build</code> on the coordinator's
            machine.
          </p>
        </Notice>
      );
    case "unreachable":
      return (
        <Notice title="The coordinator does not answer">
          <p>
            It may be starting, or stopped. This page asks again every few seconds; nothing is lost, because
            rounds are stored before they are announced.
          </p>
        </Notice>
      );
  }
}

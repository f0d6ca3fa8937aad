import { whatTheCoordinatorCanRead } from "@consilium/shared/plan-leaves";
import type { FederationStatus } from "@consilium/shared/protocol/http";
import type { ReactNode } from "react";
import { describePlan } from "../describe-plan.ts";
import { shortHash } from "../derive.ts";

export function PlanCard({ status }: { readonly status: FederationStatus }): ReactNode {
  const { text: reading, isWarning } = whatTheCoordinatorCanRead(status.plan);
  return (
    <section className="card plan" aria-labelledby="plan-title">
      <div className="card-head">
        <h2 id="plan-title">The plan</h2>
        <span className="dimmed mono" title={status.planHash}>
          {shortHash(status.planHash)}
        </span>
      </div>
      <dl>
        {describePlan(status.plan, status.parameters, status.updateParameters).map(({ label, text }) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
      <p className={isWarning ? "caution danger" : "caution"}>{reading}</p>
      <p className="dimmed fingerprint">
        Coordinator's fingerprint <code>{status.coordinatorFingerprint}</code>
      </p>
    </section>
  );
}

package jobspecs

import (
	"strconv"
	"time"
)

// longWindow is from when on a window is longer than what people will wait for.
const longWindow = Duration(24 * time.Hour)

// snapshotLife is how long Pub/Sub keeps a snapshot, and by default a message
// that nobody has read.
const snapshotLife = Duration(7 * 24 * time.Hour)

// streamRules are about a StreamJob alone.
func streamRules() []Rule {
	of := []string{KindStreamJob}
	return []Rule{{
		Name: "horizon-shorter-than-window", Kinds: of,
		Finds: "a horizon that is shorter than a window",
		Why:   "An event is too late once the watermark has passed its own time by the horizon, whether or not its window is still open: in the course of each window, late events begin to go to the late table though the window is not yet complete.",
		Mend:  "set spec.horizon to the longest window at least",
		check: on(func(l *linter, j *StreamJob) {
			for i, a := range j.Spec.Aggregations {
				if a.Window > j.Spec.Horizon {
					l.warn(at("spec.aggregations", i)+".window", "windows of %s are longer than spec.horizon, %s", a.Window, j.Spec.Horizon)
				}
			}
		}),
	}, {
		Name: "long-window", Kinds: of,
		Finds: "windows of a day or longer",
		Why:   "A drain does not wait for windows: it closes those that are open at once, with what there is, and the next generation writes the rest when the window ends. Until then the value is partial. Whenever jobs with such windows are redeployed, a window is open.",
		Mend:  "take shorter windows, an hour say, and add them up where they are read; what a comparison needs as long as this, ignore",
		check: on(func(l *linter, j *StreamJob) {
			for i, a := range j.Spec.Aggregations {
				if a.Window >= longWindow {
					l.warn(at("spec.aggregations", i)+".window", "each redeploy cuts a window of %s, whose value is partial until it ends", a.Window)
				}
			}
		}),
	}, {
		Name: "timestamp-dimension", Kinds: of,
		Finds: "an aggregation that groups by a field of type TIMESTAMP",
		Why:   "Nearly every event then is a group of its own: as many rows as events, and nothing aggregated. Windows group by time already.",
		Mend:  "remove the dimension, and set the aggregation's window to the span that is wanted",
		check: on(func(l *linter, j *StreamJob) {
			types := map[string]string{}
			for _, f := range j.Spec.Event.Fields {
				types[f.Name] = f.Type
			}
			for i, a := range j.Spec.Aggregations {
				for n, d := range a.Dimensions {
					if types[d] == "TIMESTAMP" {
						l.warn(at(at("spec.aggregations", i)+".dimensions", n), "dimension %s is a TIMESTAMP: each instant is a group", d)
					}
				}
			}
		}),
	}, {
		Name: "uneven-jobs", Kinds: of,
		Finds: "jobs of which some read two subscriptions and others one",
		Why:   "The first jobs get twice the events of the last. All have the same workers, so either some are idle or some fall behind.",
		Mend:  "set spec.jobs to a divisor of spec.sources.count",
		check: on(func(l *linter, j *StreamJob) {
			if jobs, n := j.Spec.Jobs, j.Spec.Sources.Count; n > jobs && n < 2*jobs {
				l.warn("spec.jobs", "of %d subscriptions, %s read two each, %s one", n, counted(n-jobs, "job"), counted(2*jobs-n, "job"))
			}
		}),
	}, {
		Name: "cancel-without-replay", Kinds: of,
		Finds: "onTimeout: cancel or strategy: cancel, with replay: archive",
		Why:   "A cancel makes the generation void: none of its numbers count any more, from its first day on. The successor reads again only what was not acknowledged, and on Dataflow all that the job had read is. So the cancel takes out all numbers of the generation until a backfill from the archive has put them back.",
		Mend:  "set spec.sources.replay: snapshot, or spec.update.onTimeout: fail and spec.update.strategy: drain",
		check: on(func(l *linter, j *StreamJob) {
			if j.Spec.Update.OnTimeout == "cancel" && j.Spec.Sources.Replay == ReplayArchive {
				l.warn("spec.update.onTimeout", "a drain that is cancelled takes out the numbers of its generation until a backfill")
			}
			if j.Spec.Update.Strategy == StrategyCancel && j.Spec.Sources.Replay == ReplayArchive {
				l.warn("spec.update.strategy", "a job that is cancelled takes out the numbers of its generation until a backfill")
			}
		}),
	}, {
		Name: "drain-longer-than-retention", Kinds: of,
		Finds: "a drainTimeout of 7 days or more",
		Why:   "While a job drains nobody reads its subscriptions. Pub/Sub keeps what waits there for 7 days unless a subscription says otherwise, and a snapshot for 7 days at most.",
		Mend:  "set spec.update.drainTimeout to hours: a drain that takes days is stuck",
		check: on(func(l *linter, j *StreamJob) {
			if d := j.Spec.Update.DrainTimeout; d >= snapshotLife {
				l.warn("spec.update.drainTimeout", "a drain of %s outlasts what Pub/Sub keeps", d)
			}
		}),
	}, {
		Name: "autoscaling-without-room", Kinds: of,
		Finds: "autoscaling by throughput in production that cannot add a worker, since maxWorkers is workers",
		Why:   "After a redeploy, or when more events come, the job has no more workers than before and falls behind. Autoscaling can only take workers away.",
		Mend:  "set spec.tuning.maxWorkers above workers; or autoscaling: none, if the number is to be fixed",
		check: on(func(l *linter, j *StreamJob) {
			if t := &j.Spec.Tuning; j.Spec.Environment == production && t.Autoscaling == "throughput" && t.MaxWorkers == t.Workers {
				l.warn("spec.tuning.maxWorkers", "autoscaling cannot go beyond the %s that the job starts with", counted(t.Workers, "worker"))
			}
		}),
	}, {
		Name: "public-workers", Kinds: of,
		Finds: "workers in production that have public addresses, though a subnetwork is named, which is the default",
		Why:   "Who chooses a subnetwork mostly wants the workers in it and nowhere else. Public addresses are reached from outside unless a firewall says no, cost money, and are often forbidden by policy: then no worker starts.",
		Mend:  "set spec.tuning.publicIPs: false; the subnetwork then needs Private Google Access",
		check: on(func(l *linter, j *StreamJob) {
			if t := &j.Spec.Tuning; j.Spec.Environment == production && t.PublicIPs && t.Subnetwork != "" {
				path := "spec.tuning.publicIPs"
				if !l.given(path) {
					path = "spec.tuning.subnetwork"
				}
				l.warn(path, "workers in subnetwork %s have public addresses", t.Subnetwork)
			}
		}),
	}, {
		Name: "default-service-account", Kinds: of,
		Finds: "a StreamJob in production without a service account",
		Why:   "Its workers run as the default account of Compute Engine, which all machines of the project share, and which may edit nearly everything in it unless somebody has taken that away.",
		Mend:  "name an account of the pipeline's own in spec.tuning.serviceAccount",
		check: on(func(l *linter, j *StreamJob) {
			if j.Spec.Environment == production && j.Spec.Tuning.ServiceAccount == "" {
				l.warn("spec.tuning.serviceAccount", "the workers run as the default account of Compute Engine")
			}
		}),
	}}
}

// counted is a number and its unit, in the plural where there is not one.
func counted(n int, unit string) string {
	if n != 1 {
		unit += "s"
	}
	return strconv.Itoa(n) + " " + unit
}

package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/rueidis"
)

// lane is one connection of the lanes, and its goroutine.
type lane struct {
	l *lanes
	s *Store
	c rueidis.Client
	// runs are the scripts about to run, cmds the same as commands.
	runs []run
	cmds rueidis.Commands
	// took is how long the last answers took.
	took time.Duration
}

// run is one run of a script: of calls.lua for several jobs, of any other for one.
type run struct {
	sc        *script
	sha       string
	partition int
	jobs      []job
	// unkept is whether too few replicas have confirmed what it did.
	unkept bool
}

func (a *lane) run() {
	var jobs []job
	for {
		var more, closed bool
		if jobs, more, closed = a.l.take(jobs); more {
			a.l.nudge()
		}
		if len(jobs) == 0 {
			if closed {
				return
			}
			<-a.l.wake
			continue
		}
		a.send(jobs)
		clear(jobs)
	}
}

// send makes the calls and tells what came of them.
func (a *lane) send(jobs []job) {
	if a.took >= a.s.opts.patience() {
		jobs, a.took = a.fresh(jobs), 0
	}
	if len(jobs) == 0 {
		return
	}
	a.pack(jobs)
	head := a.s.head(0)
	a.cmds = a.cmds[:0]
	for i := range a.runs {
		if a.s.opts.Cluster { // each master has a clock of its own
			head = a.s.head(a.runs[i].partition)
		}
		a.cmds = append(a.cmds, a.command(&a.runs[i], head[:], false))
	}
	begin := time.Now()
	results, unkept := a.s.confirmed(a.c, a.cmds)
	a.took = time.Since(begin)
	for i := range a.runs {
		r := &a.runs[i]
		if isNoScript(results[i].Error()) {
			var err error
			if results[i], r.unkept, err = a.load(r); err != nil {
				a.failed(r, err, time.Since(begin))
				continue
			}
		} else {
			r.unkept = i < len(unkept) && unkept[i]
		}
		a.tell(r, results[i], time.Since(begin))
	}
	clear(a.runs)
}

// fresh leaves out the calls that stood behind others while Redis was away: what is asked of it when it is back goes by what
// all nodes know then.
func (a *lane) fresh(jobs []job) []job {
	now, longest := time.Now(), a.s.opts.patience()
	return slices.DeleteFunc(jobs, func(j job) bool {
		waited := now.Sub(j.at)
		if waited >= longest {
			a.done(&j, reply{}, errLate, waited)
		}
		return waited >= longest
	})
}

// load makes a call again whose script Redis did not know.
func (a *lane) load(r *run) (result rueidis.RedisResult, unkept bool, err error) {
	if a.s.eras != nil {
		if err := a.s.witness(context.Background(), r.partition, r.sha, r.sc); err != nil {
			return result, false, err
		}
	}
	head := a.s.head(r.partition)
	results, lacking := a.s.confirmed(a.c, rueidis.Commands{a.command(r, head[:], a.s.eras == nil)})
	return results[0], len(lacking) > 0 && lacking[0], nil
}

// pack puts the calls of a partition into one run, releases that must go alone into another.
func (a *lane) pack(jobs []job) {
	a.runs = a.runs[:0]
	for i := range jobs {
		j := &jobs[i]
		if j.sc != nil {
			a.runs = append(a.runs, run{sc: j.sc, partition: j.partition, jobs: jobs[i : i+1 : i+1]})
			continue
		}
		if r := a.with(j); r != nil {
			if r.jobs = append(r.jobs, *j); j.how == callAcquire {
				r.sc = &a.s.calls
			}
			continue
		}
		sc := &a.s.returns
		if j.how == callAcquire {
			sc = &a.s.calls
		}
		a.runs = append(a.runs, run{sc: sc, partition: j.partition, jobs: jobs[i : i+1 : i+1]})
	}
}

// with finds the run that a call can go with.
func (a *lane) with(j *job) *run {
	for i := range a.runs {
		r := &a.runs[i]
		if r.partition == j.partition && r.jobs[0].sc == nil && r.jobs[0].alone == j.alone && len(r.jobs) < batch {
			return r
		}
	}
	return nil
}

func (a *lane) command(r *run, head []string, whole bool) rueidis.Completed {
	keys := a.s.keys.declared[r.partition]
	r.sha = a.s.shaOf(r.sc, r.partition)
	if whole {
		return withJobs(a.c.B().Eval().Script(r.sc.text).Numkeys(int64(len(keys))).Key(keys...).Arg(head...), r.jobs).Build()
	}
	return withJobs(a.c.B().Evalsha().Sha1(r.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(head...), r.jobs).Build()
}

// withJobs adds the arguments of the calls.
func withJobs[C interface{ Arg(arg ...string) C }](cmd C, jobs []job) C {
	for i := range jobs {
		if jobs[i].how != "" {
			cmd = cmd.Arg(jobs[i].how)
		}
		cmd = cmd.Arg(jobs[i].args...)
	}
	return cmd
}

// tell tells the outcome of a run to those who asked.
func (a *lane) tell(r *run, result rueidis.RedisResult, took time.Duration) {
	answers, err := result.ToArray()
	if err != nil {
		a.s.heed(err)
		a.failed(r, explain(r.sc.name, err), took)
		return
	}
	late := len(answers) > 0 && !answers[0].IsArray() && r.jobs[0].sc == nil
	for i := range r.jobs {
		j := &r.jobs[i]
		own := answers
		switch {
		case late || j.sc != nil:
		case len(answers) != len(r.jobs):
			a.done(j, reply{}, fmt.Errorf("%s: %w", j.how, errReply), took)
			continue
		default:
			own, err = answers[i].ToArray()
		}
		var got reply
		if err == nil {
			got, err = a.s.understand(r.sc.name, r.partition, own)
		}
		if r.unkept {
			got.unkept, got.Unkept, got.Handed = true, got.Handed, nil
		}
		if err == nil && got.word == "late" {
			if err = a.s.late(context.Background(), r.partition, &got, took); err == nil {
				a.again(j, took)
				continue
			}
		}
		a.done(j, got, err, took)
	}
}

// again makes a call once more that Redis found late: see [Store.late].
func (a *lane) again(j *job, took time.Duration) {
	if j.tries++; j.tries < lateTries {
		a.l.submit(*j)
		return
	}
	a.done(j, reply{}, errLate, took)
}

// failed tells that a run came to nothing. Releases that were refused for the acquires beside them, as Redis is out of
// memory, go again alone.
func (a *lane) failed(r *run, err error, took time.Duration) {
	for i := range r.jobs {
		j := &r.jobs[i]
		if j.how == callRelease && r.sc == &a.s.calls && errors.Is(err, ErrRefused) && !j.alone {
			j.alone = true
			a.l.submit(*j)
			continue
		}
		a.done(j, reply{}, err, took)
	}
}

func (a *lane) done(j *job, r reply, err error, took time.Duration) {
	if a.s.opts.Observe != nil {
		name := j.how
		if j.sc != nil {
			name = j.sc.name
		}
		a.s.opts.Observe(name, took, err)
	}
	j.done(r, err)
}

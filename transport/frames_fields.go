package transport

// frameFields are the fields of each type of frame.
type frameFields struct {
	hello       []field[helloBody]
	acquire     []field[acquireBody]
	release     []field[releaseBody]
	renew       []field[renewBody]
	cancel      []field[cancelBody]
	subscribe   []field[subscribeBody]
	unsubscribe []field[unsubscribeBody]
	ping        []field[struct{}]
}

func newFrameFields(b *bodyFields) frameFields {
	return frameFields{
		hello: inFrame([]field[helloBody]{
			{"clientId", true, func(b *helloBody, v value) string { return v.text(&b.client, maxText) }},
			{"session", false, func(b *helloBody, v value) string { return v.text(&b.session, maxText) }},
		}),
		acquire: ofLock(b.acquire, func(b *acquireBody) *string { return &b.Name }),
		release: ofLock(b.release, func(b *releaseBody) *string { return &b.name }),
		renew:   ofLock(b.renew, func(b *renewBody) *string { return &b.name }),
		cancel: inFrame([]field[cancelBody]{
			{"target", false, func(b *cancelBody, v value) string { return v.text(&b.target, maxText) }},
			{"requestId", false, func(b *cancelBody, v value) string { return v.text(&b.requestID, maxText) }},
		}),
		subscribe: inFrame([]field[subscribeBody]{
			{"locks", true, (*subscribeBody).readPatterns},
			{"events", false, (*subscribeBody).readKinds},
		}),
		unsubscribe: inFrame([]field[unsubscribeBody]{
			{"subscription", true, func(b *unsubscribeBody, v value) string { return v.text(&b.id, maxText) }},
		}),
		ping: inFrame[struct{}](nil),
	}
}

// inFrame adds the fields that every frame has, which were read before.
func inFrame[T any](fields []field[T]) []field[T] {
	known := func(*T, value) string { return "" }
	return append([]field[T]{{"type", false, known}, {"id", false, known}}, fields...)
}

// ofLock makes the fields of a REST body those of a frame: the lock's name is in it, and the clientId may come from the
// hello.
func ofLock[T any](rest []field[T], name func(*T) *string) []field[T] {
	fields := inFrame([]field[T]{{"lockName", true, func(b *T, v value) string { return v.lockName(name(b)) }}})
	for _, f := range rest {
		f.required = f.required && f.name != "clientId"
		fields = append(fields, f)
	}
	return fields
}

// lockName reads a lock's name.
func (v value) lockName(into *string) string {
	if fault := v.text(into, maxName); fault != "" {
		return fault
	}
	return nameFault(*into)
}

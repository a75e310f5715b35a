package planted

// lossMistakes are of what is done where Redis may have forgotten something: quarantines.
func lossMistakes() []mistake {
	return []mistake{
		{name: "a grant that replicas lack is told of", breaks: "exclusion after a failover, `REDIS_WAIT_REPLICAS`", room: "service", test: "TestReplicaMissing", says: "new: {", edits: []edit{
			{"queue/replicas.go", "unkept[i] = err != nil || n < int64(s.opts.Replicas)", "unkept[i] = (err != nil || n < int64(s.opts.Replicas)) && !{PLANTED}"},
		}},
		{name: "a grant that replicas lack is not taken back", breaks: "no grant that nobody has, `REDIS_WAIT_REPLICAS`", room: "service", test: "TestReplicaMissing", says: "y is held", edits: []edit{
			{"service/effects.go", "return errors.Is(err, queue.ErrNotReplicated) && errors.Is(err, queue.ErrUnavailable)", "return errors.Is(err, queue.ErrNotReplicated) && errors.Is(err, queue.ErrUnavailable) && !{PLANTED}"},
		}},
		{name: "the line is served in a quarantine", breaks: "exclusion after a failover", room: "queue", test: "TestAnotherLife", says: "released: ", edits: []edit{
			{"queue/lua/lib.lua", "      if withheld() then return bar(lock) end\n", ""},
		}},
		{name: "the short way does not look for a quarantine", breaks: "exclusion after a failover", room: "queue", test: "TestAnotherLife", says: "new: \"granted\"", edits: []edit{
			{"queue/lua/short.lua", "base .. WATCHED, base .. QUARANTINE)\n\n  -- Nobody", "base .. WATCHED)\n\n  -- Nobody"},
		}},
		{name: "lost data begin no quarantine", breaks: "exclusion after loss of data", room: "queue", test: "TestDataLost", says: "\"granted\", <nil>", edits: []edit{
			{"queue/lua/clock.lua", "if not last and WITHHOLD > 0 then", "if false then"},
			{"queue/lua/lib.lua", "if WITHHOLD > 0 and not there[2] and not drawn then", "if false then"},
		}},
		{name: "another instance begins no quarantine", breaks: "exclusion after a failover", room: "queue", test: "TestAnotherLife", says: "new: \"granted\"", edits: []edit{
			{"queue/lua/era.lua", "  if not barred then withhold(before and 'instance_changed' or 'data_lost') end\n", ""},
		}},
		{name: "a quarantine is shorter than a lease", breaks: "exclusion after loss of data", room: "queue", test: "TestDataLost", says: "it is granted before the lease ends", edits: []edit{
			{"queue/lua/clock.lua", "local till, before = now + WITHHOLD,", "local till, before = now + WITHHOLD / 2,"},
		}},
	}
}

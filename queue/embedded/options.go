package embedded

// Option changes how Start starts the server.
type Option func(*options)

type options struct {
	tcp       bool
	port      int // 0: a free one
	args      []string
	config    string
	dir       string
	realOnly  bool
	inProcess bool
}

func newOptions(opts []Option) *options {
	o := &options{}
	for _, opt := range opts {
		opt(o)
	}
	return o
}

// TCP has the server listen on a free TCP port of 127.0.0.1 rather than on a unix socket. The port lies outside the
// range that Linux gives to outgoing connections, so that nobody takes it while the server is down for a moment.
func TCP() Option { return func(o *options) { o.tcp = true } }

// OnPort has the server listen on the given TCP port of 127.0.0.1. Start fails if the port is taken.
func OnPort(port int) Option { return func(o *options) { o.tcp, o.port = true, port } }

// Args adds arguments to redis-server's command line, after those that Start gives and thus overriding them, such as
// Args("--appendonly", "yes"). miniredis ignores them.
func Args(args ...string) Option {
	return func(o *options) { o.args = append(o.args, args...) }
}

// Config has redis-server begin with a configuration file of this text, which lies in the server's own directory and
// which the server may rewrite. It is needed for a Sentinel: Config("sentinel monitor …") with Args("--sentinel").
func Config(text string) Option { return func(o *options) { o.config = text } }

// Dir is where redis-server keeps its data files; it must exist, and Stop leaves it. The default is a directory of its
// own, which Stop removes. miniredis ignores it.
func Dir(path string) Option { return func(o *options) { o.dir = path } }

// RealOnly has Start fail with ErrNoServer rather than fall back to miniredis.
func RealOnly() Option { return func(o *options) { o.realOnly = true } }

// InProcess has Start use miniredis even where a redis-server could be had.
func InProcess() Option { return func(o *options) { o.inProcess = true } }

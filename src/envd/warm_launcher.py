# SPDX-License-Identifier: Apache-2.0
# What the waiting interpreter runs: it reads one request, becomes what a fresh start of that request would be, and lets go.
# It imports nothing that a start has not imported, and leaves no name behind.
def _():
    import posix, sys, os
    from _frozen_importlib_external import SourceFileLoader
    if sys.version_info[:2] != (3, 11):
        posix._exit(1)
    g = sys.modules['__main__'].__dict__
    del g['_']
    fields = posix.read(3, 65536).split(b'\0')
    if len(fields) < 3:
        posix._exit(0)
    posix.chdir(fields[0])
    n = int(fields[1])
    argv = [os.fsdecode(x) for x in fields[2:2 + n]]
    environ = [x.partition(b'=') for x in fields[2 + n:-1]]
    if argv[1] == '-c':
        code = compile(argv[2], '<string>', 'exec', dont_inherit=True)
        sys.argv[:] = argv[2:]
        sys.argv[0] = '-c'
    else:
        file = argv[1] if argv[1][:1] == '/' else os.getcwd() + '/' + argv[1]
        fd = posix.open(file, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
        if posix.fstat(fd).st_mode & 0o170000 != 0o100000:
            posix._exit(1)
        text = b''
        while chunk := posix.read(fd, 1048576):
            text += chunk
        posix.close(fd)
        if b'PK\5\6' in text or b'\0' in text:
            posix._exit(1)
        code = compile(text, file, 'exec', dont_inherit=True)
        sys.argv[:] = argv[1:]
        sys.path[0] = os.path.dirname(os.path.realpath(file))
        g['__file__'] = file
        g['__cached__'] = None
        g['__loader__'] = SourceFileLoader('__main__', file)
    sys.orig_argv[:] = argv
    coerced = posix.environ.get(b'LC_CTYPE')
    os.environ.clear()
    posix.environ.clear()
    if coerced is not None and all(name != b'LC_CTYPE' for name, _, _ in environ):
        environ.append((b'LC_CTYPE', b'=', coerced))
    for name, _, value in environ:
        posix.environ[name] = value
        os.environ[os.fsdecode(name)] = os.fsdecode(value)
    posix.write(3, b'+')
    if posix.read(3, 1) != b'g':
        posix._exit(0)
    posix.close(3)

    class Program:
        __slots__ = 'code',

        def __enter__(self):
            pass

        # An exception that nobody caught goes on to the interpreter, which prints it: without the line that ran the program.
        def __exit__(self, kind, value, traceback):
            if value is None or isinstance(value, SystemExit):
                return
            code, hook = self.code, sys.excepthook

            def show(kind, value, traceback):
                first = traceback
                while first and first.tb_frame.f_code is not code:
                    first = first.tb_next
                sys.excepthook = hook
                sys.last_traceback = value.__traceback__ = first or traceback
                hook(kind, value, first or traceback)
            sys.excepthook = show
    p = Program()
    p.code = code
    g['_'] = p


_()

"""Places that carry a promise, each with one line that breaks it.

In: nothing. Out: `MUTATIONS`, which the commit tier must catch, and `EQUIVALENT`: those that change
nothing that could be seen, each with the reason. Lines are found by their text, wherever their module
is; a line that stands in several places comes with the ones above it. They are run for real, as root
in CI: nothing here may loosen what keeps the package away from devices and from others' files.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """One sabotage.

    Attributes:
        name: its promise first, such as ``fsync``.
        lines: the line to break, after as many lines above it as make it unique.
        becomes: what stands there instead.
        tests: the ends of the paths of test files that should catch it, most likely first.
    """

    name: str
    lines: str
    becomes: str
    tests: tuple[str, ...]


_LOCAL = ("test_local_store.py",)
_BUCKET = ("test_object_store.py", "test_late_writers.py")
_LEASE = ("test_object_lock.py", "test_late_writers.py")
_MERGE = ("test_ledger_merge.py", "test_sync.py")
_SYNC = ("test_sync.py",)
_CRASH = ("test_sync_crashes.py",)
_WALK = ("test_parts.py", "test_reads.py", "test_simulation.py")
_GATE = ("test_gate.py",)
_AUTH = ("test_auth.py",)
_FAULTS = ("api/test_faults.py",)
_FLATTEN = ("test_flatten.py", "test_odd_values.py")
_TIMES = ("test_times.py",)

MUTATIONS = (
    # A file that was written is durable and whole.
    Mutation("fsync-file", "os.fsync(descriptor)", "pass", _LOCAL),
    Mutation("fsync-folder", "os.fsync(folder)", "pass", _LOCAL),
    Mutation(
        "fsync-after-rename",
        "os.replace(aside, name, src_dir_fd=aside_folder, dst_dir_fd=folder)\nflush_folder(folder)",
        "pass",
        _LOCAL,
    ),
    Mutation(
        "fsync-after-delete",
        "os.unlink(name, dir_fd=folder)\nflush_folder(folder)",
        "pass",
        _LOCAL,
    ),
    Mutation(
        "file-mode-kept",
        "os.chmod(aside, stat.S_IMODE(old.st_mode), dir_fd=aside_folder)",
        "pass",
        ("test_whole_files.py", *_LOCAL),
    ),
    Mutation(
        "scratch-own-names-only",
        "if is_temporary(entry.name) and entry.is_file(follow_symlinks=False):",
        "if entry.is_file(follow_symlinks=False):",
        ("test_links.py", *_LOCAL),
    ),
    Mutation(
        "links-refused-in-lists",
        "key = prefix + _shown(entry.name)\n"
        "if entry.is_symlink() and is_ours(key) and not is_data_file(key):",
        "if False:",
        ("test_links.py", *_LOCAL),
    ),
    Mutation(
        "links-refused-by-lock",
        'key = "/".join((*folder, _shown(entry.name)))\n'
        "if entry.is_symlink() and is_ours(key) and not is_data_file(key):",
        "if False:",
        ("test_links.py", *_LOCAL),
    ),
    Mutation(
        "size-bounds-reading",
        "if found.st_size > MAX_FILE_BYTES:",
        "if False:",
        ("test_bombs.py",),
    ),
    # A lock is checked by what it protects.
    Mutation(
        "lock-before-local-put",
        "with self._folder(parent, is_made=True) as folder:\n"
        "if _is_link(name, folder):\n"
        "self._refuse_link(key)\n"
        "self._check_lock()",
        "pass",
        ("test_late_writers.py", *_LOCAL),
    ),
    Mutation(
        "lock-before-local-delete",
        'with self._step("delete", key), suppress(FileNotFoundError), self._folder(parent) as folder:\n'
        "if _is_link(name, folder):\nself._refuse_link(key)\nself._check_lock()",
        "pass",
        ("test_late_writers.py", *_LOCAL),
    ),
    Mutation(
        "lock-exclusive",
        "fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)",
        _LOCAL,
    ),
    Mutation(
        "lock-of-the-same-file",
        "os.path.samestat(os.fstat(self._descriptor), os.lstat(self._path))",
        "True",
        _LOCAL,
    ),
    Mutation(
        "lock-before-announcing",
        '"""Put what will be written, and the checksum of the manifest that comes, if it is near."""\n'
        "self.lock.check()",
        "pass",
        ("test_late_writers.py", *_SYNC, *_CRASH),
    ),
    Mutation(
        "lock-before-manifest",
        "note = RunNote(project_id, run_id, self.pending.as_of_s, verdict)\nself.lock.check()",
        "pass",
        ("test_late_writers.py", *_SYNC, *_CRASH),
    ),
    Mutation(
        "lock-before-state",
        "self.store.commit(note)\nself.lock.check()",
        "pass",
        ("test_late_writers.py", *_SYNC, *_CRASH),
    ),
    Mutation(
        "lease-before-put",
        "return None\nself._lease.keep()",
        "pass",
        _BUCKET,
    ),
    Mutation(
        "lease-renewed-in-time",
        "if self._is_lost or self._uptime() - self._renewed_s > self._lease_s / 2:",
        "if self._is_lost:",
        _LEASE,
    ),
    Mutation(
        "lease-expiry-by-store-clock",
        "return (now - found.modified).total_seconds() > self._lease_of(found)",
        "return (now - found.modified).total_seconds() > 0",
        _LEASE,
    ),
    Mutation(
        "lease-of-its-own",
        "return found if found and found.data.startswith(self._record) else None",
        "return found",
        _LEASE,
    ),
    Mutation(
        "conditional-put",
        "return self._lease.condition(self._seen.get(key))",
        "return None",
        _BUCKET,
    ),
    Mutation(
        "conditional-create",
        'return "create" if e_tag is None else self._update(e_tag)',
        "return None if e_tag is None else self._update(e_tag)",
        _BUCKET,
    ),
    Mutation(
        "bad-store-recognised",
        'return "ignores If-Match"',
        'return ""',
        _LEASE,
    ),
    Mutation(
        "lost-answer-is-done",
        "# Sent again after a lost answer, it meets itself; then it is done all the same.\n"
        "if self._holds(key, data):",
        "if False:",
        _BUCKET,
    ),
    # Writes come in an order that any death leaves mendable.
    Mutation(
        "announced-before-written",
        "if self._staged:\nself._announce()",
        "pass",
        _CRASH,
    ),
    Mutation(
        "announced-with-manifest",
        "self._announce(checksum)",
        "pass",
        _CRASH,
    ),
    Mutation(
        "unchanged-not-written",
        "files = [file for file in encoded() if known.get(file.key) != file.entry]",
        "files = encoded()",
        ("test_inventory_sync.py", *_SYNC),
    ),
    Mutation(
        "pending-kept-until-done",
        "if is_finished and self.records.is_known:",
        "if True:",
        _CRASH,
    ),
    Mutation(
        "torn-read-again",
        "if any(tables.values()) and not all(tables.values()):",
        "if False:",
        _CRASH,
    ),
    Mutation(
        "state-fits-manifest",
        "if state.manifest == checksum or is_behind:",
        "if True:",
        ("test_records_match.py", "test_verify.py"),
    ),
    Mutation(
        "state-moves-when-proven",
        "self._state.as_of_s = self._reader.now_s  # what is damaged is owed, and named",
        "pass",
        _SYNC,
    ),
    Mutation(
        "state-stays-if-incomplete", "if is_proven:", "if True:", (*_SYNC, "sync/test_changes.py")
    ),
    # The ledger: gone, guard, identity, order.
    Mutation(
        "state-outlives-two-deaths",
        "seen = [state.manifest, found] if state and state.manifest else [found]",
        "seen = [found]",
        _CRASH,
    ),
    Mutation(
        "gone-once",
        'is_hit = pc.and_(pc.is_in(backups["backup_id"], value_set=ids), gone_at.is_null())',
        'is_hit = pc.is_in(backups["backup_id"], value_set=ids)',
        _MERGE,
    ),
    Mutation(
        "gone-only-inside-proof",
        "is_inside = (at >= 0) & (begin_s < spans[at, 1])",
        "is_inside = at >= 0",
        _MERGE,
    ),
    Mutation(
        "gone-only-at-its-level",
        'is_at_level = _mask(pc.equal(kept["backup_level"], level))',
        "is_at_level = np.ones(len(kept), dtype=bool)",
        _MERGE,
    ),
    Mutation(
        "gone-untimed",
        "is_proven |= is_at_level & ~has_begin",
        "pass",
        _MERGE,
    ),
    Mutation(
        "gone-not-in-doubt",
        "if doubt is None and is_trusted:",
        "if is_trusted:",
        ("test_guard.py",),
    ),
    Mutation(
        "gone-not-if-assumption-failed",
        "if doubt is None and is_trusted:",
        "if doubt is None:",
        ("test_meanings.py",),
    ),
    Mutation(
        "back-is-present",
        ".append_column(_GONE_AT, pa.nulls(len(rows), TIMESTAMP))",
        ".append_column(_GONE_AT, now)",
        _MERGE,
    ),
    Mutation(
        "first-seen-stays",
        'first_seen_at = pc.coalesce(before["first_seen_at"], stamp)',
        "first_seen_at = pc.coalesce(pa.nulls(len(ids), TIMESTAMP), stamp)",
        _MERGE,
    ),
    Mutation(
        "updated-only-if-changed",
        'updated_at = pc.if_else(pc.or_(is_new, is_changed), stamp, before["updated_at"])',
        "updated_at = pa.repeat(stamp, len(ids))",
        _MERGE,
    ),
    Mutation(
        "null-equals-null",
        "is_same = pc.or_(is_same, pc.and_(new.is_null(), old.is_null()))",
        "pass",
        _MERGE,
    ),
    Mutation(
        "children-compared",
        "is_changed = pc.and_not(pc.or_(has_own_change, has_child_change), is_new)",
        "is_changed = pc.and_not(has_own_change, is_new)",
        _MERGE,
    ),
    Mutation(
        "guard-on-mass",
        "is_mass = count > GUARD_COUNT and count > GUARD_SHARE * before",
        "is_mass = False",
        _SYNC,
    ),
    Mutation(
        "guard-on-all",
        "return is_mass or (count > 0 and left == 0)",
        "return is_mass",
        ("test_guard.py", *_SYNC),
    ),
    Mutation(
        "guard-let-go-only-if-asked",
        "held = None if allow_mass_deletion else self._why_held(count, present, left)",
        "held = self._why_held(count, present, left)",
        ("test_guard.py", *_SYNC),
    ),
    Mutation(
        "identity-is-the-id",
        "moving = self._find_elsewhere(partition, ids)",
        "moving = dict[date, LedgerTables]()",
        ("test_identity.py", *_SYNC),
    ),
    Mutation(
        "damage-stays-where-it-is",
        "self.damaged[partition] = error\nself._listed.append(ids.combine_chunks())\nreturn",
        "raise",
        ("test_damage.py",),
    ),
    Mutation(
        "damage-owed",
        "self._state.damaged = sorted(day.isoformat() for day in owed)",
        "pass",
        ("test_damage.py",),
    ),
    # Clocks.
    Mutation(
        "moment-by-service",
        "self._as_of = self._begun_at - timedelta(seconds=ceil(skew_s))",
        "pass",
        ("test_clock_of_a_run.py", "test_cli_sync.py"),
    ),
    Mutation(
        "moment-never-back",
        "self._as_of_s = max(self._reader.now_s, self._state.newest_s, pending_s)",
        "self._as_of_s = self._reader.now_s",
        ("test_clock_of_a_run.py", "test_cli_sync.py"),
    ),
    Mutation(
        "skew-beyond-a-day-refused",
        "if abs(skew_s) > MAX_SKEW_S and not self._settings.accept_clock_skew:",
        "if False:",
        ("test_clock_of_a_run.py", "test_cli_sync.py"),
    ),
    Mutation(
        "overlap-before-last-sync",
        "head_s = max(last_s - settings.overlap_s, reader.begin_floor_s)",
        "head_s = max(last_s, reader.begin_floor_s)",
        _SYNC,
    ),
    Mutation(
        "open-backups-asked-again",
        "spans = [head, *torn, *lost, *_open_spans(state, forecast, head_s)]",
        "spans = [head, *torn, *lost]",
        _SYNC,
    ),
    Mutation(
        "old-days-read-again",
        "spans = merge_spans([*spans, *due])",
        "spans = merge_spans(spans)",
        _SYNC,
    ),
    # The walk: ranges, ends, totals.
    Mutation(
        "walk-second-asked-again",
        "done_s = max(last_s + 1, floor_s)",
        "done_s = max(last_s, floor_s)",
        _WALK,
    ),
    Mutation(
        "walk-trims-to-its-span",
        "kept = [i for i, s in enumerate(seconds) if s is None or low_s <= s < self.end_s]",
        "kept = list(range(len(seconds)))",
        _WALK,
    ),
    Mutation(
        "window-one-second-wider",
        "return ask_window(query, begin_s - 1, end_s)",
        "return ask_window(query, begin_s, end_s - 1)",
        _WALK,
    ),
    Mutation(
        "total-equals-rows",
        "return page.total_count == rows and rows < page.query.limit",
        "return rows < page.query.limit",
        _WALK,
    ),
    Mutation(
        "total-against-limit",
        "if rows != min(query.limit, max(page.total_count - query.offset, 0)):",
        "if False:",
        _WALK,
    ),
    Mutation(
        "page-sorted",
        "if rows < page.total_count and seconds != sorted(seconds, reverse=True):",
        "if False:",
        _WALK,
    ),
    Mutation(
        "page-inside-window",
        "if min(seconds) < begin_s or max(seconds) > end_s:",
        "if False:",
        _WALK,
    ),
    Mutation("page-twice", "if len(set(page.ids)) != rows:", "if False:", _WALK),
    Mutation(
        "fewer-than-left-said-twice",
        "if page.total_count >= max(at_least, 1) or not holds_all(page):",
        "if True:",
        _WALK,
    ),
    Mutation(
        "untimed-are-fetched",
        "elif missing > 0:\npieces, rows = yield from self._fetch(missing)",
        "pieces, rows = [], missing",
        _WALK,
    ),
    Mutation(
        "incomplete-is-said",
        'verdict="incomplete" if self._reasons else "complete",',
        'verdict="complete",',
        _WALK,
    ),
    Mutation(
        "incomplete-raises",
        "if certificate is None or certificate.is_complete:",
        "if True:",
        ("test_reads.py",),
    ),
    Mutation(
        "counts-buckets",
        "found += _descend(reader, forecast, level, bucket)",
        "pass",
        ("sync/test_changes.py", *_SYNC),
    ),
    # One request: credentials, retries, limits.
    Mutation(
        "token-renewed-once",
        "if self._generation == generation:",
        "if True:",
        _AUTH,
    ),
    Mutation(
        "token-renewal",
        "self._authenticator.renew()",
        "pass",
        _AUTH,
    ),
    Mutation(
        "token-renewed-before-it-ends",
        "if self._token is None or self._clock.now() > self._expires_at - _RENEW_BEFORE:",
        "if self._token is None:",
        _AUTH,
    ),
    Mutation(
        "refused-login-not-again",
        "self._refused = error  # a refused login is not tried again: accounts get locked",
        "pass",
        _AUTH,
    ),
    Mutation(
        "token-expired-is-no-denial",
        "if status == 401 or code in _TOKEN_INVALID:",
        "if status == 401:",
        _FAULTS,
    ),
    Mutation(
        "redirect-told",
        "if 300 <= status < 400:",
        "if False:",
        _FAULTS,
    ),
    Mutation(
        "scrubbed-errors",
        "raise self._scrubber.error(error) from None",
        "raise",
        ("test_canaries.py",),
    ),
    Mutation(
        "scrubbed-bodies",
        "clean = self._scrubber.data(body)\n"
        "raise read_failure(response.status_code, response.headers, clean, url)",
        "raise read_failure(response.status_code, response.headers, body, url)",
        ("test_canaries.py",),
    ),
    Mutation(
        "scrubbed-log",
        "record.msg, record.args = clean, ()",
        "pass",
        ("test_canaries.py", *_AUTH),
    ),
    Mutation(
        "escapes-spelled-out",
        "text = _UNPRINTABLE.sub(lambda match: _escaped(match[0]), text)",
        "pass",
        ("test_output.py", "test_canaries.py"),
    ),
    Mutation(
        "retry-after-honoured",
        "self._resume_at = now + retry_after_s + self._rng.random()",
        "self._resume_at = now",
        _GATE,
    ),
    Mutation(
        "limit-learned",
        "self._limit = (error.limit, error.period_s)",
        "pass",
        _GATE,
    ),
    Mutation(
        "retry-budget",
        "or self.counts.retries >= RETRY_FLOOR + RETRY_SHARE * self._successes",
        "or False",
        _GATE,
    ),
    Mutation(
        "pause-stops-all",
        "wait_s = max(self._resume_at, self._next_at) - now",
        "wait_s = self._next_at - now",
        _GATE,
    ),
    Mutation(
        "deadline-in-all",
        "return max(left_s, _MIN_TIMEOUT_S)",
        "return 60.0",
        _FAULTS,
    ),
    Mutation(
        "error-noted-in-turn",
        "except BaseException as error:\nself._note(error)",
        "pass",
        ("test_workers.py",),
    ),
    Mutation(
        "closed-while-connecting",
        "if self._is_closed:\nconnection.stop()",
        "pass",
        ("test_connection.py",),
    ),
    Mutation(
        "body-bounded",
        "if size > MAX_BODY_BYTES:",
        "if False:",
        _FAULTS,
    ),
    Mutation(
        "nesting-bounded",
        'body.decode("utf-8")  # what it skipped is not validated yet\ncheck_nesting(body)',
        "pass",
        (*_FAULTS, *_FLATTEN),
    ),
    Mutation(
        "cut-gzip-told",
        "if is_begun and not unpacker.eof:",
        "if False:",
        _FAULTS,
    ),
    # Nothing is lost in flattening.
    Mutation(
        "null-against-empty",
        '"database_count": pc.list_value_length(column[ENTRIES]),',
        '"database_count": pc.fill_null(pc.list_value_length(column[ENTRIES]), 0),',
        _FLATTEN,
    ),
    Mutation(
        "whole-database-against-none",
        '"table_count": pc.list_value_length(table_lists),',
        '"table_count": pc.fill_null(pc.list_value_length(table_lists), 0),',
        _FLATTEN,
    ),
    Mutation(
        "unknown-fields-kept",
        '"extra": self.extra if self.extra is not None else pa.nulls(count, TEXT),',
        '"extra": pa.nulls(count, TEXT),',
        _FLATTEN,
    ),
    Mutation(
        "zone-numeric-on-the-wire",
        'return moment.replace(microsecond=0, tzinfo=None).isoformat() + "+0000"',
        "return moment.replace(microsecond=0, tzinfo=None).isoformat()",
        ("api/test_query.py",),
    ),
    Mutation(
        "zone-missing-is-utc",
        "return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // SECOND",
        "return (moment.astimezone(UTC) - EPOCH) // SECOND",
        _TIMES,
    ),
    Mutation(
        "zone-missing-in-columns",
        'texts = pc.replace_substring_regex(texts, pattern=_ZONELESS, replacement=r"\\1T\\2Z")',
        "pass",
        _TIMES,
    ),
    Mutation(
        "calendar-ends",
        "is_inside = pc.and_(pc.less_equal(_FIRST_US, us), pc.less_equal(us, _LAST_US))",
        "is_inside = pc.is_valid(us)",
        _TIMES,
    ),
    Mutation(
        "dedupe-last-wins",
        "last[codes] = np.arange(table.num_rows)  # of equal codes the last assignment stays",
        "last[codes[::-1]] = np.arange(table.num_rows)[::-1]",
        ("test_deduplicate.py",),
    ),
    Mutation(
        "dedupe-children",
        "is_current = pc.fill_null(pc.less(own[key[-1]], own[count_name]), False)",
        "is_current = pc.is_valid(own[key[-1]])",
        ("test_deduplicate.py",),
    ),
    Mutation(
        "range-end-excluded",
        'is_in = pc.and_kleene(is_in, pc.less(frames.backups["begin_time"], end))',
        'is_in = pc.and_kleene(is_in, pc.less_equal(frames.backups["begin_time"], end))',
        ("test_read_edges.py",),
    ),
    Mutation(
        "range-without-untimed",
        'is_in = frames.backups["begin_time"].is_valid()',
        "is_in = pa.chunked_array([pa.repeat(True, frames.backups.num_rows)])",
        ("test_read_edges.py",),
    ),
    Mutation(
        "rows-sorted",
        "return (table if is_sorted else table.take(order)).combine_chunks()",
        "return table.combine_chunks()",
        ("test_deduplicate.py", "test_partitions.py"),
    ),
    # What readers get.
    Mutation(
        "path-is-no-pattern",
        'return "".join(f"[{char}]" if char in "*?[" else char for char in path)',
        "return path",
        ("test_publish.py",),
    ),
    Mutation(
        "rows-counted-before-publishing",
        "if range_ is not None and not range_[0] <= count <= range_[1]:",
        "if False:",
        ("test_named_files.py",),
    ),
    Mutation(
        "no-silent-exit",
        "if session.exit_code and not session.has_concluded:",
        "if False:",
        ("test_output.py", "test_session.py"),
    ),
)

EQUIVALENT: dict[Mutation, str] = {}

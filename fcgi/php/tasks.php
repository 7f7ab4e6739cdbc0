<?php
/**
 * Tasks of a plugin's queue in a transient: the part of worker.php that is
 * loaded for a request whose `ask` is what: tasks. It stands beside worker.php.
 *
 *   ask         {what, op, list: [entry]}; each entry has `i`, its number
 *     run       {f, p, m?}: function f, or "Class::method", with the payload
 *               p, PHP-serialized, in base64. Truthy is done. m: its mails go
 *               to the outbox under this name
 *     inbox     {t, k, d, l?, ttl?}: the types of the tasks in transient t.
 *               With d, if all of them are in the list k, the value too, and
 *               an empty list is stored in its place; under lock l, a
 *               transient as well, that nobody else holds
 *     transient {t, v, ttl}: set to v, as stored, in base64; without v: deleted
 *     process   {h}: the hook of the plugin's own processor
 *
 * Frames:
 *   begin   {i}           what ends PHP now is this entry's
 *   answer  {i, ok, ...}  not ok: msg, code
 *     inbox: gone, types: [text], taken, size; locked: somebody else works.
 *            The value came before, in frames part {i, data}
 *   broke   {i, msg}      PHP ends in the midst of it
 */

if ( ! class_exists( 'WPCron_FCGI_Worker', false ) ) {
	http_response_code( 404 );
	exit;
}

final class WPCron_FCGI_Tasks {
	const OPS         = array( 'run', 'inbox', 'transient', 'process' );
	const PART        = 30000;
	// What the other side takes in an answer, less some room.
	const INBOX_MAX   = 2700000;
	const DAY_S       = 86400;
	// What the companion stores in place of a list.
	const PLACEHOLDER = 'wpcron-fcgi:';
	// Who has passed the check of the lock sets it at once.
	const SETTLE_US   = 200000;

	private static $at;              // the entry that is worked on
	private static $parts = array(); // of the value that was taken

	/** Work off the request's `ask`; why it stopped. */
	public static function run( array $ask ) {
		if ( ! in_array( $ask['op'], self::OPS, true ) ) {
			WPCron_FCGI_Worker::frame( 'refused', array( 'why' => 'no operation ' . $ask['op'] ) );
			return 'refused';
		}
		foreach ( $ask['list'] as $entry ) {
			$why = self::reason_to_stop();
			if ( null !== $why ) {
				return $why;
			}
			self::$at = $entry['i'];
			WPCron_FCGI_Worker::frame( 'begin', array( 'i' => self::$at ) );
			$answer = self::answer( 'op_' . $ask['op'], $entry );
			$last   = WPCron_FCGI_Worker::has_new_shutdown_callback();
			if ( $last ) {
				$answer = self::end_with_shutdown( $answer );
			}
			WPCron_FCGI_Worker::tidy();
			self::end_mail();
			$clean = $last || WPCron_FCGI_Worker::restore_state();
			foreach ( self::$parts as $part ) {
				WPCron_FCGI_Worker::frame( 'part', array( 'i' => self::$at, 'data' => base64_encode( $part ) ) );
			}
			self::$parts = array();
			WPCron_FCGI_Worker::frame( 'answer', array( 'i' => self::$at ) + $answer );
			self::$at = null;
			if ( $last || ! $clean ) {
				return $last ? 'shutdown' : 'state';
			}
		}
		return 'done';
	}

	/**
	 * What was put off to the end of PHP is part of the task, finds the hooks
	 * as they are, and its mails are the task's, too.
	 */
	private static function end_with_shutdown( array $answer ) {
		try {
			do_action( 'shutdown' );
		} catch ( Throwable $e ) {
			$answer = $answer['ok'] ? self::thrown( $e ) : $answer;
		}
		remove_all_actions( 'shutdown' );
		return $answer;
	}

	/** PHP ends while a task is worked on. */
	public static function ended( $message ) {
		if ( null !== self::$at ) {
			WPCron_FCGI_Worker::frame( 'broke', array( 'i' => self::$at, 'msg' => $message ) );
		}
	}

	/** Where nobody listens any more no task may begin. */
	private static function reason_to_stop() {
		// Only the second write to a connection that is closed shows it.
		for ( $n = 0; $n < 2; $n++ ) {
			echo "\n";
			flush();
		}
		return CONNECTION_NORMAL !== connection_status() ? 'gone' : WPCron_FCGI_Worker::reason_to_stop();
	}

	/** What one entry came to; an exception or an error costs that one alone. */
	private static function answer( $op, array $entry ) {
		WPCron_FCGI_Worker::discard_output();
		try {
			isset( $entry['m'] ) && class_exists( 'WPCron_FCGI_Mail', false ) && WPCron_FCGI_Mail::begin( $entry['m'] );
			return self::$op( $entry );
		} catch ( Throwable $e ) {
			return self::thrown( $e );
		}
	}

	private static function thrown( Throwable $e ) {
		$text = '' === $e->getMessage() ? get_class( $e ) : $e->getMessage();
		return self::no( 'exception', sprintf( '%s in %s on line %d', $text, $e->getFile(), $e->getLine() ) );
	}

	private static function end_mail() {
		class_exists( 'WPCron_FCGI_Mail', false ) && WPCron_FCGI_Mail::end();
	}

	private static function yes( array $more = array() ) {
		return array( 'ok' => true ) + $more;
	}

	private static function no( $code, $message ) {
		return array( 'ok' => false, 'code' => $code, 'msg' => WPCron_FCGI_Worker::cut( $message ) );
	}

	/* ---- tasks --------------------------------------------------------- */

	private static function op_run( array $entry ) {
		$bytes   = (string) base64_decode( $entry['p'], true );
		$payload = @unserialize( $bytes );
		if ( false === $payload && 'b:0;' !== $bytes ) {
			return self::no( 'payload', 'The payload cannot be unserialized.' );
		}
		if ( ! is_callable( $entry['f'] ) ) {
			return self::no( 'function', sprintf( 'There is no function %s().', $entry['f'] ) );
		}
		$result = call_user_func( $entry['f'], $payload );
		if ( is_wp_error( $result ) ) {
			return self::no( (string) $result->get_error_code(), $result->get_error_message() );
		}
		return $result ? self::yes() : self::no( 'false', sprintf( '%s() returned %s.', $entry['f'], self::word_for( $result ) ) );
	}

	private static function word_for( $falsy ) {
		return is_array( $falsy ) ? 'an empty array' : var_export( $falsy, true );
	}

	private static function op_process( array $entry ) {
		if ( ! has_action( $entry['h'] ) ) {
			return self::no( 'no_listener', sprintf( 'Nobody listens to the hook %s.', $entry['h'] ) );
		}
		do_action_ref_array( $entry['h'], array() );
		return self::yes();
	}

	/* ---- transients ---------------------------------------------------- */

	private static function op_inbox( array $entry ) {
		$value = self::read( $entry['t'] );
		if ( false === $value || array() === $value ) {
			return self::yes( array( 'gone' => true, 'types' => array() ) );
		}
		$types = self::types( $value );
		if ( null === $types ) {
			return self::no( 'unreadable', 'The transient holds no list of tasks.' );
		}
		if ( ! $entry['d'] || array_diff( $types, $entry['k'] ) ) {
			return self::yes( array( 'types' => $types ) );
		}
		$lock = isset( $entry['l'] ) ? self::lock( $entry['l'], $entry['ttl'] ) : null;
		if ( false === $lock ) {
			return self::yes( array( 'locked' => true, 'types' => array() ) );
		}
		$adding = is_callable( array( 'WPCron_FCGI_Companion_Tasks', 'lock_of' ) )
			? WPCron_FCGI_Companion_Tasks::lock_of( $entry['t'] ) : null;
		$adding && $adding->take();
		try {
			return self::drain( $entry );
		} finally {
			$adding && $adding->release();
			if ( null !== $lock && (string) self::read( $entry['l'] ) === $lock ) {
				delete_transient( $entry['l'] );
			}
		}
	}

	/** As others have it now: this process' copies are as old as its boot. */
	private static function read( $transient ) {
		if ( wp_using_ext_object_cache() ) {
			// Not get_transient(), where the companion shows an empty list.
			$value = wp_cache_get( $transient, 'transient', true );
			return is_string( $value ) && 0 === strpos( $value, self::PLACEHOLDER ) ? false : $value;
		}
		wp_cache_delete( '_transient_' . $transient, 'options' );
		wp_cache_delete( '_transient_timeout_' . $transient, 'options' );
		wp_cache_delete( 'notoptions', 'options' );
		return get_transient( $transient );
	}

	/** Likewise: the companion would add it to what is there. */
	private static function write( $transient, $value, $ttl ) {
		if ( wp_using_ext_object_cache() ) {
			wp_cache_set( $transient, $value, 'transient', $ttl );
		} else {
			set_transient( $transient, $value, $ttl );
		}
	}

	/** Its value while it is ours; false: somebody else's. */
	private static function lock( $transient, $ttl ) {
		if ( self::read( $transient ) ) {
			return false;
		}
		$value = sprintf( '%.6F', microtime( true ) );
		set_transient( $transient, $value, $ttl );
		usleep( self::SETTLE_US );
		return (string) self::read( $transient ) === $value ? $value : false;
	}

	private static function drain( array $entry ) {
		$value = self::read( $entry['t'] );
		$types = self::types( $value );
		if ( null === $types || array_diff( $types, $entry['k'] ) ) {
			return self::yes( array( 'types' => (array) $types ) );
		}
		$bytes = (string) maybe_serialize( $value );
		if ( strlen( $bytes ) > self::INBOX_MAX ) {
			return self::no( 'too_large', sprintf( 'The transient has %d bytes, more than can be taken at once.', strlen( $bytes ) ) );
		}
		self::write( $entry['t'], array(), self::DAY_S );
		self::$parts = str_split( $bytes, self::PART );
		return self::yes( array( 'types' => $types, 'taken' => true, 'size' => strlen( $bytes ) ) );
	}

	/** Of a list of tasks, each once; null: it is none. */
	private static function types( $value ) {
		$list = is_string( $value ) ? json_decode( $value, true ) : $value;
		if ( ! is_array( $list ) || array_filter( array_keys( $list ), 'is_string' ) ) {
			return null;
		}
		$types = array();
		foreach ( $list as $task ) {
			$task = is_string( $task ) ? json_decode( $task, true ) : $task;
			$type = is_array( $task ) && isset( $task['type'] ) ? $task['type'] : null;
			if ( ! is_string( $type ) && ! is_int( $type ) ) {
				return null;
			}
			$types[] = (string) $type;
		}
		return array_values( array_unique( $types ) );
	}

	private static function op_transient( array $entry ) {
		if ( ! isset( $entry['v'] ) ) {
			delete_transient( $entry['t'] );
			return self::yes();
		}
		$value = maybe_unserialize( (string) base64_decode( $entry['v'], true ) );
		// It says no when the value is there already.
		self::write( $entry['t'], $value, $entry['ttl'] );
		return self::read( $entry['t'] ) == $value ? self::yes()
			: self::no( 'not_written', sprintf( 'The transient %s has another value after it was written.', $entry['t'] ) );
	}
}

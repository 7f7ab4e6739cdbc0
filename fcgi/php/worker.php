<?php
/**
 * What the php executor of wp-cron-fcgi runs in php-fpm: boots WordPress once
 * and runs a batch of jobs, one framed JSON line for each step. Where a
 * persistent object cache stands between WordPress and the option `cron`, it
 * also takes cron events out of that option, for the program to run.
 *
 * Keep it outside of the document root. A web server cannot reach it: without
 * the FastCGI param WPCRON_SECRET (whose name no HTTP header can make) it
 * answers 404 and nothing else.
 *
 * Request body, JSON:
 *   v          1
 *   token      32 hexadecimal digits that begin every frame
 *   root       directory of wp-load.php
 *   blog_id    whose jobs these are
 *   context    who runs them, for Action Scheduler's log
 *   budget_ms  no job is started later than this
 *   export     tell in `hello` what only PHP knows about the site
 *   tcp        the program is at the other end of a network
 *   take       cron events to take before the jobs, if any:
 *     lock     {value, ours, stale_s, left}: the lock doing_cron is to become
 *              `value`; held by any of `ours`, older than stale_s or in the
 *              far future it is replaced, else nothing is taken. It is given
 *              back if the SQL `left` counts 0 after that
 *     events   [{ts, hook, key, drop, insert}]: slots of the option, hook and
 *              key in base64. Each that is still there leaves it, a recurring
 *              one gets its next slot, and the SQL `insert` is run, all in one
 *              transaction. drop: it was done before and was brought back, so
 *              a next slot is only made if there is no later one
 *   ask        {what, op, list}: what is asked besides jobs, before them.
 *              `what` names the file beside this one that answers, one of
 *              WPCron_FCGI_Worker::PARTS; its head has the operations and its
 *              frames
 *   outbox     where mails of jobs with `mail` are stored; see mail.php, which
 *              has frames of its own
 *   jobs       [{id, hook, args, own, start, running, log}], actions;
 *              [{id, event: true, hook64, args64, recurrence64, start,
 *              running, done, failed}], cron events: args PHP-serialized, all
 *              in base64. The rest is SQL: own: claim the row for the plugin;
 *              start: mark it running; running: was that us; log: its line;
 *              done, failed: end the row, if it still runs for this claim,
 *              where the program to which the end is told is gone. In failed
 *              the literal _binary'{message}' stands for the message. mail,
 *              mail_priority: as whose its mails go into the outbox
 *   lock       {value, ours, left}: after the jobs, the lock is deleted if the
 *              SQL `left` counts 0 and it is ours or `value`; else it becomes
 *              `value` when it is older than 30 s
 *
 * Secret: "expiry.nonce.hmac", hmac = HMAC-SHA-256 in hexadecimal over
 * "expiry.nonce." and the SHA-256 of the body in hexadecimal. The key is the
 * concatenation of the constants in WPCron_FCGI_Worker::SALTS, in that order;
 * the program reads the same from wp-config.php, so nothing is stored.
 *
 * Frames: newline, token, JSON, newline. All else in the output is noise.
 *   maintenance {}                 WordPress does not boot for that reason
 *   hello   {pid, php, wp, mem, mode, blog, finish, why?, export?}
 *   took    {taken, dropped, gone, held, why}  gone: not in the option as the
 *                                  cache has it; why: all was rolled back
 *   take    {id}                   the next thing is its `own` or `start`
 *   skip    {id, why, lost}        not run; lost: the row is not ours any more
 *   start   {id}                   its callbacks run
 *   done    {id, ms, mem}          hook mode, and events
 *   fail    {id, class, msg, file, line}
 *   settled {id, status, msg, ms, mem}   plugin mode: the row is written
 *   fatal   {id, type, msg, file, line}  PHP ends; type null: exit() or die()
 *   end     {n, mem_peak, rest, why}     rest: ids that were not begun
 */

if ( empty( $_SERVER['WPCRON_SECRET'] ) || ! is_string( $_SERVER['WPCRON_SECRET'] ) ) {
	http_response_code( 404 );
	exit;
}

final class WPCron_FCGI_Worker {
	const SALTS = array(
		'AUTH_KEY', 'SECURE_AUTH_KEY', 'LOGGED_IN_KEY', 'NONCE_KEY',
		'AUTH_SALT', 'SECURE_AUTH_SALT', 'LOGGED_IN_SALT', 'NONCE_SALT',
	);
	// What may be asked for; NAME.php has the class WPCron_FCGI_Name.
	const PARTS         = array( 'contacts', 'messages', 'tasks', 'mail' );
	const SECRET_LIFE_S = 30;
	const CLOCK_SLACK_S = 5;
	const MEMORY_SHARE  = 0.6;
	const TEXT_MAX      = 1000;
	const MESSAGE_MAX   = 280;
	const ROUND_TRIP_US = 2000;
	const FATAL         = E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_RECOVERABLE_ERROR;

	private static $body;
	private static $secret;
	private static $request;
	private static $reserve;

	/* What runs, for the shutdown function: boot, idle, cron, ask, job, shutdown, last, over. */
	private static $phase = 'boot';
	private static $mode  = 'hook'; // of actions; events always fire here
	private static $refusal;        // why no action may run
	private static $no_blog = false;
	private static $part;           // class that answers what is asked besides jobs
	private static $begun_at;
	private static $ran = 0;

	private static $job;          // the one that runs
	private static $job_began;
	private static $outcome;      // array( status, message ) from the plugin's hooks
	private static $opening = 0;  // connection whose transaction marks the job's row running
	private static $closing = false; // ours around the plugin's writes of its end
	private static $final;        // frame held back until all shutdown functions ran
	private static $told = array(); // array( event, frame, fields ): ends that may be in no row yet
	private static $rest = array();
	private static $why  = 'done';

	private static $hooks;        // name => WP_Hook, as it was after boot
	private static $files;        // number of included files before the job
	private static $blog_depth;
	private static $handlers;
	private static $mailer;       // in WordPress' global
	private static $settings;     // ini values that a job may change
	private static $transaction = false;

	/* ---- before WordPress ---------------------------------------------- */

	/** Directory to boot from; ends with 404 if the request is not for us. */
	public static function accept() {
		self::$secret = explode( '.', $_SERVER['WPCRON_SECRET'] );
		unset( $_SERVER['WPCRON_SECRET'], $_ENV['WPCRON_SECRET'] );
		self::$body    = (string) file_get_contents( 'php://input' );
		self::$request = json_decode( self::$body, true );
		$r             = self::$request;
		if ( 3 !== count( self::$secret ) || ! self::is_timely( self::$secret[0] )
			|| ! is_array( $r ) || ! isset( $r['v'], $r['token'], $r['root'], $r['jobs'] )
			|| 1 !== $r['v'] || ! is_string( $r['token'] ) || ! is_string( $r['root'] ) || ! is_array( $r['jobs'] )
			|| ! preg_match( '/^[0-9a-f]{32}$/D', $r['token'] ) || ! is_file( $r['root'] . '/wp-load.php' ) ) {
			self::not_found();
		}
		self::$request += array(
			'blog_id' => 1, 'context' => 'WP Cron FCGI', 'budget_ms' => 20000,
			'export' => false, 'tcp' => false, 'take' => null, 'lock' => null, 'ask' => null, 'outbox' => null,
		);
		foreach ( $r['jobs'] as $job ) {
			self::$rest[] = $job['id'];
		}

		ignore_user_abort( true );
		set_time_limit( 0 );
		ini_set( 'display_errors', '0' );
		self::unwind( 0 );
		header( 'Content-Type: text/plain' );
		// Memory for the shutdown function when a job has used up the rest.
		self::$reserve = str_repeat( ' ', 65536 );
		// Before any plugin's, so that a fatal is told before they add to it.
		register_shutdown_function( array( __CLASS__, 'on_shutdown' ) );
		return $r['root'];
	}

	private static function is_timely( $expiry ) {
		$left = ctype_digit( $expiry ) ? (int) $expiry - time() : -1;
		return $left >= 0 && $left <= self::SECRET_LIFE_S + self::CLOCK_SLACK_S;
	}

	private static function not_found() {
		self::$phase = 'over';
		if ( ! headers_sent() ) {
			http_response_code( 404 );
		}
		exit;
	}

	private static function is_secret_right() {
		$key = '';
		foreach ( self::SALTS as $name ) {
			if ( ! defined( $name ) || '' === (string) constant( $name ) ) {
				error_log( 'wp-cron-fcgi: ' . $name . ' is not defined; wp-config.php must define all eight keys and salts' );
				return false;
			}
			$key .= constant( $name );
		}
		list( $expiry, $nonce, $given ) = self::$secret;
		$right = hash_hmac( 'sha256', $expiry . '.' . $nonce . '.' . hash( 'sha256', self::$body ), $key );
		return hash_equals( $right, $given );
	}

	/* ---- output -------------------------------------------------------- */

	/** The bytes it took. */
	public static function frame( $type, array $fields ) {
		$json = json_encode(
			array( 'frame' => $type ) + $fields,
			JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES | JSON_PARTIAL_OUTPUT_ON_ERROR
		);
		echo "\n", self::$request['token'], $json, "\n";
		flush();
		return strlen( $json ) + 34;
	}

	/** Drop output buffers above `$level`; false when one cannot be removed. */
	private static function unwind( $level ) {
		while ( ob_get_level() > $level ) {
			if ( ! @ob_end_clean() ) {
				return false;
			}
		}
		return true;
	}

	/** Output of callbacks goes nowhere, also when it is endless. */
	public static function discard_output() {
		ob_start(
			function () {
				return '';
			},
			8192
		);
	}

	public static function cut( $text ) {
		return substr( (string) $text, 0, self::TEXT_MAX );
	}

	/* ---- the batch ----------------------------------------------------- */

	public static function run() {
		self::unwind( 0 );
		if ( ! self::is_secret_right() ) {
			self::not_found();
		}
		self::$begun_at = microtime( true );
		if ( function_exists( 'wp_raise_memory_limit' ) ) {
			wp_raise_memory_limit( 'cron' );
		}
		self::enter_blog();
		self::choose_mode();
		self::load_mail();
		self::remember_state();
		self::say_hello();
		if ( self::$request['take'] && ! self::$no_blog ) {
			self::$phase = 'cron';
			$took        = WPCron_FCGI_Cron::take( self::$request['take'] );
			self::unwind( 0 );
			self::frame( 'took', $took );
		}
		if ( self::$request['ask'] ) {
			self::run_part( self::$request['ask'] );
		}
		self::$phase = 'idle';

		foreach ( self::$request['jobs'] as $job ) {
			$why = self::reason_to_stop();
			if ( null !== $why ) {
				self::$why = $why;
				break;
			}
			if ( ! self::run_job( $job ) ) {
				break;
			}
		}
		self::leave_lock();
		self::say_end();
	}

	/** Parts that are asked make mails, too, whoever sends them. */
	private static function load_mail() {
		$file = __DIR__ . '/mail.php';
		if ( ( self::$request['outbox'] || self::$request['ask'] ) && is_file( $file ) && is_file( __DIR__ . '/mailer.php' ) ) {
			require_once $file;
			self::$request['outbox'] && WPCron_FCGI_Mail::set_up( self::$request['outbox'] );
		}
	}

	private static function begin_mail( array $job ) {
		if ( empty( $job['mail'] ) ) {
			return;
		}
		if ( class_exists( 'WPCron_FCGI_Mail', false ) ) {
			WPCron_FCGI_Mail::begin( $job['mail'], $job['mail_priority'] );
		} else {
			self::frame( 'mail_left', array( 'job' => $job['mail'], 'why' => 'mail.php or mailer.php is not beside worker.php' ) );
		}
	}

	/** The frames of its mails follow when output is not discarded any more. */
	private static function end_mail() {
		if ( class_exists( 'WPCron_FCGI_Mail', false ) ) {
			WPCron_FCGI_Mail::end();
		}
	}

	private static function tell_mail() {
		if ( class_exists( 'WPCron_FCGI_Mail', false ) ) {
			WPCron_FCGI_Mail::tell();
		}
	}

	private static function run_part( array $ask ) {
		$what = isset( $ask['what'] ) && in_array( $ask['what'], self::PARTS, true ) ? $ask['what'] : '';
		$file = __DIR__ . '/' . $what . '.php';
		$why  = self::$no_blog ? self::$refusal : null;
		if ( '' === $what ) {
			$why = 'this worker.php does not know what is asked for';
		} elseif ( ! is_file( $file ) ) {
			$why = $what . '.php is not beside worker.php';
		}
		if ( null !== $why ) {
			self::frame( 'refused', array( 'why' => $why ) );
			return;
		}
		require_once $file;
		self::$part  = 'WPCron_FCGI_' . ucfirst( $what );
		self::$phase = 'ask';
		self::$why   = call_user_func( array( self::$part, 'run' ), $ask );
	}

	private static function say_hello() {
		$hello = array(
			'pid'    => getmypid(),
			'php'    => PHP_VERSION,
			'wp'     => $GLOBALS['wp_version'],
			'mem'    => memory_get_usage( true ),
			'mode'   => self::$mode,
			'blog'   => get_current_blog_id(),
			'finish' => WPCRON_FCGI_FINISH,
		);
		if ( null !== self::$refusal ) {
			$hello['why'] = self::$refusal;
		}
		if ( self::$request['export'] ) {
			$hello['export'] = self::export();
		}
		self::unwind( 0 );
		self::frame( 'hello', $hello );
	}

	private static function say_end() {
		self::$phase = 'over';
		self::tell_mail();
		self::frame(
			'end',
			array(
				'n'        => self::$ran,
				'mem_peak' => memory_get_peak_usage( true ),
				'rest'     => self::$rest,
				'why'      => self::$why,
			)
		);
		if ( self::$told && self::$request['tcp'] ) {
			// Until the other side has said that it is closed.
			usleep( self::ROUND_TRIP_US );
			echo "\n";
			flush();
		}
		self::end_unheard();
	}

	private static function enter_blog() {
		$blog = (int) self::$request['blog_id'];
		if ( is_multisite() && get_current_blog_id() !== $blog ) {
			if ( get_site( $blog ) ) {
				switch_to_blog( $blog );
			}
		}
		if ( get_current_blog_id() !== $blog ) {
			self::$mode    = 'none';
			self::$refusal = 'there is no blog ' . $blog . ' here';
			self::$no_blog = true;
		}
	}

	/** The plugin runs its rows itself, unless they are not where we read them. */
	private static function choose_mode() {
		if ( null !== self::$refusal || ! class_exists( 'ActionScheduler', false ) || ! did_action( 'action_scheduler_init' ) ) {
			return;
		}
		// Creates what the plugin creates on first use, before the hooks are remembered.
		ActionScheduler::runner();
		ActionScheduler::logger();
		$store = ActionScheduler::store();
		// The hybrid store reads the tables too, while the plugin migrates.
		if ( ! is_a( $store, 'ActionScheduler_DBStore' ) && ! is_a( $store, 'ActionScheduler_HybridStore' ) ) {
			self::$mode    = 'none';
			self::$refusal = 'actions are kept in ' . get_class( $store ) . ', not in the tables';
			return;
		}
		self::$mode = 'plugin';
		self::hear( 'action_scheduler_completed_action', 'complete', null );
		self::hear( 'action_scheduler_failed_execution', 'failed', 1 );
		self::hear( 'action_scheduler_failed_validation', 'failed', 1 );
		self::hear( 'action_scheduler_unexpected_shutdown', 'failed', 1 );
		self::hear( 'action_scheduler_execution_ignored', 'ignored', null );
	}

	/** Take the outcome of the running job from a hook of the plugin. */
	private static function hear( $hook, $status, $message_arg ) {
		add_action(
			$hook,
			function ( $id, ...$more ) use ( $status, $message_arg ) {
				if ( null === self::$job || (int) $id !== (int) self::$job['id'] ) {
					return;
				}
				$told = null === $message_arg ? null : ( isset( $more[ $message_arg - 1 ] ) ? $more[ $message_arg - 1 ] : null );
				if ( $told instanceof Throwable ) {
					$told = $told->getMessage();
				} elseif ( is_array( $told ) ) {
					$told = isset( $told['message'] ) ? $told['message'] : '';
				}
				self::$outcome = array( $status, self::cut( $told ) );
			},
			PHP_INT_MAX,
			3
		);
	}

	/** Why no further job may begin; null: it may. */
	public static function reason_to_stop() {
		if ( ( microtime( true ) - self::$begun_at ) * 1000 > self::$request['budget_ms'] ) {
			return 'budget';
		}
		if ( self::is_memory_short() ) {
			if ( function_exists( 'wp_cache_flush_runtime' ) && ! wp_using_ext_object_cache() ) {
				wp_cache_flush_runtime();
			}
			gc_collect_cycles();
			if ( self::is_memory_short() ) {
				return 'memory';
			}
		}
		return null;
	}

	private static function is_memory_short() {
		$limit = wp_convert_hr_to_bytes( ini_get( 'memory_limit' ) );
		return $limit > 0 && memory_get_usage() > self::MEMORY_SHARE * $limit;
	}

	/* ---- one job ------------------------------------------------------- */

	/** Does the plugin run this one, and write its row? */
	private static function is_plugins( array $job ) {
		return 'plugin' === self::$mode && empty( $job['event'] );
	}

	/** False: nothing may run after it in this process. */
	private static function run_job( array $job ) {
		if ( self::$no_blog || ( 'none' === self::$mode && empty( $job['event'] ) ) ) {
			self::skip( $job, self::$refusal, false );
			return true;
		}
		/*
		 * The second write since the last job's frame: by now a connection
		 * that is gone has shown itself, over TCP too. It also fails after a
		 * job has called fastcgi_finish_request().
		 */
		self::frame( 'take', array( 'id' => $job['id'] ) );
		self::end_unheard();
		if ( CONNECTION_NORMAL !== connection_status() ) {
			self::$why = 'gone';
			return false;
		}
		if ( ! self::take( $job ) ) {
			return true;
		}
		array_shift( self::$rest );
		self::$job       = $job;
		self::$outcome   = null;
		self::begin_mail( $job );
		self::$files     = count( get_included_files() );
		self::$job_began = microtime( true );
		self::$phase     = 'job';
		error_clear_last();
		self::frame( 'start', array( 'id' => $job['id'] ) );

		self::discard_output();
		$thrown = self::fire( $job );
		self::$ran++;
		$final = self::final_frame( $thrown );
		$thrown = null;
		if ( self::has_new_shutdown_callback() ) {
			self::end_with_shutdown( $final );
		}
		self::end_mail();
		$clean       = self::restore_state();
		self::$phase = 'idle';
		self::$job   = null;
		self::tell_end_of( $job, $final );
		if ( ! $clean ) {
			self::$why = 'state';
		}
		return $clean;
	}

	private static function skip( array $job, $why, $lost ) {
		array_shift( self::$rest );
		self::frame( 'skip', array( 'id' => $job['id'], 'why' => self::cut( $why ), 'lost' => $lost ) );
	}

	/**
	 * Make the row ours for this run by a write: whoever else holds it, a
	 * rescuer or a stalled worker, finds it changed.
	 */
	private static function take( array $job ) {
		global $wpdb;
		$plugins = self::is_plugins( $job );
		$sql     = $plugins ? $job['own'] : $job['start'];
		$quiet   = $wpdb->suppress_errors( true );
		$thread  = self::connection_id();
		$rows    = false;
		for ( $try = 0; $try < 4 && false === $rows; $try++ ) {
			// An event's is one statement, which commits itself.
			empty( $job['event'] ) && self::begin_opening();
			$rows = $wpdb->query( $sql );
			if ( false === $rows && ! self::may_query_again() ) {
				break;
			}
			if ( false === $rows ) {
				usleep( 10000 << $try );
			}
		}
		$error = $wpdb->last_error;
		// A connection that was lost may have taken with it the answer that the row was ours.
		if ( 0 === $rows && ! $plugins && self::connection_id() !== $thread && ! empty( $job['running'] ) ) {
			$rows = (int) $wpdb->get_var( $job['running'] );
		}
		if ( 1 === $rows && ! $plugins && ! empty( $job['log'] ) ) {
			$wpdb->query( $job['log'] );
		}
		if ( 1 !== $rows || ! $plugins ) {
			$rows = self::end_opening( $job, $rows );
		}
		$wpdb->suppress_errors( $quiet );
		if ( 1 === $rows ) {
			return true;
		}
		if ( false === $rows ) {
			self::skip( $job, 'database: ' . $error, false );
		} else {
			self::skip( $job, 'the row is not ours any more', true );
		}
		return false;
	}

	/*
	 * One commit for what marks a row running: the ownership write, the log
	 * line and, in plugin mode, the status, which the plugin writes just before
	 * the callback. A commit a statement is most of what a small action costs.
	 */
	private static function begin_opening() {
		global $wpdb;
		$wpdb->query( 'START TRANSACTION' );
		self::$opening = self::connection_id();
	}

	/** Commit it; the rows that are ours then: $rows, or what a lost connection left. */
	private static function end_opening( array $job, $rows ) {
		global $wpdb;
		if ( ! self::$opening ) {
			return $rows;
		}
		$thread        = self::$opening;
		self::$opening = 0;
		$done          = $wpdb->query( 'COMMIT' );
		if ( 1 !== $rows || ( false !== $done && self::connection_id() === $thread ) ) {
			return $rows;
		}
		// Committed or not? As after a start whose answer got lost.
		$rows = empty( $job['running'] ) ? 0 : (int) $wpdb->get_var( $job['running'] );
		if ( 1 !== $rows ) {
			$rows = $wpdb->query( $job['start'] );
			1 === $rows && ! empty( $job['log'] ) && $wpdb->query( $job['log'] );
		}
		return $rows;
	}

	/** The first callback of the job's hook: from here on it runs. */
	public static function begin_callback() {
		if ( self::$opening && 1 !== self::end_opening( self::$job, 1 ) ) {
			throw new RuntimeException( 'The database connection was lost before the action began, and the row is not ours any more.' );
		}
	}

	/** The plugin's log line and status of the end in one commit, too. */
	public static function begin_closing() {
		global $wpdb;
		if ( ! self::$transaction ) {
			$wpdb->query( 'START TRANSACTION' );
			self::$closing = true;
		}
	}

	public static function end_closing() {
		global $wpdb;
		if ( self::$closing ) {
			$wpdb->query( 'COMMIT' );
			self::$closing = false;
		}
	}

	private static function process_action( array $job ) {
		$first = array( __CLASS__, 'begin_callback' );
		$close = array(
			'action_scheduler_after_execute'    => array( __CLASS__, 'begin_closing' ),
			'action_scheduler_completed_action' => array( __CLASS__, 'end_closing' ),
		);
		// A hook without callbacks must stay one: the plugin fails it.
		$has = has_action( $job['hook'] );
		$has && add_action( $job['hook'], $first, PHP_INT_MIN, 0 );
		foreach ( $close as $hook => $callback ) {
			add_action( $hook, $callback, PHP_INT_MIN, 0 );
		}
		try {
			ActionScheduler::runner()->process_action( $job['id'], self::$request['context'] );
		} finally {
			self::end_opening( $job, 1 );
			self::end_closing();
			$has && remove_action( $job['hook'], $first, PHP_INT_MIN );
			foreach ( $close as $hook => $callback ) {
				remove_action( $hook, $callback, PHP_INT_MIN );
			}
		}
	}

	/** Worth another try at once; a lock wait has waited long enough. */
	private static function may_query_again() {
		global $wpdb;
		$dbh = isset( $wpdb->dbh ) ? $wpdb->dbh : null;
		// Deadlock; connection lost, also in mid-query, where wpdb itself gives up.
		return $dbh instanceof mysqli && in_array( mysqli_errno( $dbh ), array( 1213, 2006, 2013 ), true );
	}

	public static function connection_id() {
		global $wpdb;
		$dbh = isset( $wpdb->dbh ) ? $wpdb->dbh : null;
		return $dbh instanceof mysqli ? mysqli_thread_id( $dbh ) : 0;
	}

	/** Run the callbacks; what they threw, or null. */
	private static function fire( array $job ) {
		try {
			if ( ! empty( $job['event'] ) ) {
				self::fire_event( $job );
			} elseif ( 'plugin' === self::$mode ) {
				self::process_action( $job );
			} else {
				self::fire_hook( $job );
			}
			return null;
		} catch ( Throwable $e ) {
			return $e;
		}
	}

	private static function fire_hook( array $job ) {
		$args = json_decode( $job['args'], true );
		if ( ! is_array( $args ) ) {
			throw new InvalidArgumentException( 'The arguments cannot be JSON decoded to an array.' );
		}
		if ( ! has_action( $job['hook'] ) ) {
			throw new RuntimeException( sprintf( 'Scheduled action for %s will not be executed as no callbacks are registered.', $job['hook'] ) );
		}
		set_error_handler(
			function ( $type, $message, $file, $line ) {
				throw new ErrorException( $message, 0, $type, $file, $line );
			},
			E_USER_ERROR | E_RECOVERABLE_ERROR
		);
		try {
			do_action_ref_array( $job['hook'], array_values( $args ) );
		} finally {
			restore_error_handler();
		}
	}

	/** As wp-cron.php does: also when nobody listens, and with its errors. */
	private static function fire_event( array $job ) {
		$args = @unserialize( (string) base64_decode( $job['args64'], true ) );
		if ( ! is_array( $args ) ) {
			throw new InvalidArgumentException( 'The arguments of the event cannot be unserialized to an array.' );
		}
		do_action_ref_array( base64_decode( $job['hook64'] ), $args );
	}

	/** What became of the job, as array( frame, fields ). */
	private static function final_frame( $thrown ) {
		$fields = array(
			'id'  => self::$job['id'],
			'ms'  => (int) round( ( microtime( true ) - self::$job_began ) * 1000 ),
			'mem' => memory_get_usage( true ),
		);
		if ( self::is_plugins( self::$job ) ) {
			if ( null !== $thrown ) {
				self::$outcome = array( 'threw', self::cut( $thrown->getMessage() ) );
			} elseif ( null === self::$outcome ) {
				self::$outcome = array( 'unknown', '' );
			}
			// What the plugin wrote inside the callback's transaction is gone with it.
			if ( self::roll_back() && ! self::is_outcome_written() ) {
				$message = 'complete' === self::$outcome[0] ? 'the callback left a database transaction open; what it wrote is lost' : self::$outcome[1];
				return array( 'fail', $fields + array( 'class' => '', 'msg' => $message, 'file' => '', 'line' => 0 ) );
			}
			return array( 'settled', $fields + array( 'status' => self::$outcome[0], 'msg' => self::$outcome[1] ) );
		}
		self::roll_back();
		if ( null === $thrown ) {
			return array( 'done', $fields );
		}
		return array(
			'fail',
			$fields + array(
				'class' => get_class( $thrown ),
				'msg'   => self::cut( $thrown->getMessage() ),
				'file'  => $thrown->getFile(),
				'line'  => $thrown->getLine(),
			),
		);
	}

	/* ---- an end that nobody hears -------------------------------------- */

	/**
	 * To settle an event is the program's business. Where that is gone the row
	 * would run until its deadline, and hold back all others of its hook. What
	 * it was told just before may not be settled either, so all of the batch
	 * is written; a row that was settled does not run any more.
	 */
	private static function tell_end_of( array $job, array $final ) {
		self::tell_mail();
		self::frame( $final[0], $final[1] );
		if ( ! empty( $job['event'] ) ) {
			self::$told[] = array( $job, $final[0], $final[1] );
			// Only the second write to a connection that is closed shows it.
			echo "\n";
			flush();
			self::end_unheard();
		}
	}

	/** To be called after a write. */
	private static function end_unheard() {
		if ( ! self::$told || CONNECTION_NORMAL === connection_status() ) {
			return;
		}
		$told       = self::$told;
		self::$told = array();
		foreach ( $told as list( $job, $type, $fields ) ) {
			try {
				self::write_end( $job, 'done' === $type ? $job['done'] : self::failed_sql( $job, $type, $fields ) );
			} catch ( Throwable $e ) {
				error_log( 'wp-cron-fcgi: the end of event ' . $job['id'] . ': ' . $e->getMessage() );
			}
		}
	}

	/** In the program's words. */
	private static function failed_sql( array $job, $type, array $fields ) {
		$message = '' === $fields['msg'] && isset( $fields['class'] ) ? $fields['class'] : $fields['msg'];
		if ( strlen( $message ) > self::MESSAGE_MAX ) {
			$message = preg_replace( '/[\xc0-\xff][\x80-\xbf]*$/D', '', substr( $message, 0, self::MESSAGE_MAX ) );
		}
		if ( 'fail' === $type || null !== $fields['type'] ) {
			$message .= ' in ' . $fields['file'] . ' on line ' . $fields['line'];
		}
		if ( 'fatal' === $type && null !== $fields['type'] ) {
			$message = 'PHP Fatal error ' . $message;
		}
		$message = trim( preg_replace( '/[\x00-\x20\x7f]+/', ' ', $message ) );
		return str_replace( "_binary'{message}'", "x'" . bin2hex( self::cut( $message ) ) . "'", $job['failed'] );
	}

	private static function write_end( array $job, $sql ) {
		global $wpdb;
		self::roll_back();
		$quiet = $wpdb->suppress_errors( true );
		for ( $try = 0; $try < 4; $try++ ) {
			$rows = $wpdb->query( $sql );
			if ( false !== $rows || ! self::may_query_again() ) {
				break;
			}
			usleep( 10000 << $try );
		}
		if ( false === $rows ) {
			error_log( 'wp-cron-fcgi: the end of event ' . $job['id'] . ': ' . $wpdb->last_error );
		}
		$wpdb->suppress_errors( $quiet );
	}

	/* ---- one job must not colour the next ------------------------------ */

	private static function remember_state() {
		self::watch_transactions();
		self::$hooks = array();
		foreach ( $GLOBALS['wp_filter'] as $name => $hook ) {
			self::$hooks[ $name ] = clone $hook;
		}
		self::$blog_depth = self::blog_depth();
		self::$handlers   = array( self::error_handler(), self::exception_handler() );
		self::$mailer     = isset( $GLOBALS['phpmailer'] ) ? $GLOBALS['phpmailer'] : null;
		self::$settings   = array();
		foreach ( array( 'memory_limit', 'error_reporting', 'display_errors', 'precision', 'default_socket_timeout' ) as $name ) {
			self::$settings[ $name ] = ini_get( $name );
		}
	}

	private static function blog_depth() {
		return isset( $GLOBALS['_wp_switched_stack'] ) ? count( $GLOBALS['_wp_switched_stack'] ) : 0;
	}

	private static function leave_blogs() {
		for ( $i = 0; $i < 64 && self::blog_depth() > self::$blog_depth; $i++ ) {
			restore_current_blog();
		}
	}

	private static function error_handler() {
		$handler = set_error_handler( '__return_false' );
		restore_error_handler();
		return $handler;
	}

	private static function exception_handler() {
		$handler = set_exception_handler( '__return_false' );
		restore_exception_handler();
		return $handler;
	}

	/** False: what the job left cannot be taken back; the process must end. */
	public static function restore_state() {
		try {
			return self::restore_all();
		} catch ( Throwable $e ) {
			error_log( 'wp-cron-fcgi: after a job: ' . $e->getMessage() );
			return false;
		}
	}

	/** What the next reader's callbacks shall not find changed. */
	public static function tidy() {
		self::unwind( 0 );
		self::tell_mail();
		set_time_limit( 0 );
		ignore_user_abort( true );
		self::roll_back();
		self::leave_blogs();
		if ( get_current_user_id() ) {
			wp_set_current_user( 0 );
		}
		$GLOBALS['wpdb']->queries = array();
	}

	private static function restore_all() {
		$clean = self::unwind( 0 );
		// A limit that a job has set would end the next one.
		set_time_limit( 0 );
		ignore_user_abort( true );
		foreach ( self::$settings as $name => $value ) {
			if ( ini_get( $name ) !== $value ) {
				ini_set( $name, $value );
			}
		}
		self::leave_blogs();
		if ( get_current_user_id() ) {
			wp_set_current_user( 0 );
		}
		if ( function_exists( 'is_locale_switched' ) && is_locale_switched() ) {
			restore_current_locale();
		}
		for ( $i = 0; $i < 16 && self::error_handler() !== self::$handlers[0]; $i++ ) {
			restore_error_handler();
		}
		for ( $i = 0; $i < 16 && self::exception_handler() !== self::$handlers[1]; $i++ ) {
			restore_exception_handler();
		}
		date_default_timezone_set( 'UTC' );
		// A sender or a server that it was told for one mail stays in it.
		$GLOBALS['phpmailer']     = self::$mailer;
		$GLOBALS['wpdb']->queries = array();
		return self::restore_hooks() && $clean;
	}

	/**
	 * Put every hook back as it was after boot.
	 *
	 * False when a callback that was taken out may be remembered by whoever
	 * added it (a singleton that registers its hooks once, a file included
	 * once): it would be missing in the next job, so that must not come here.
	 */
	private static function restore_hooks() {
		global $wp_filter, $wp_current_filter;
		$added = array();
		// An exception that went through do_action() leaves the hook "running".
		$stuck             = array() !== $wp_current_filter;
		$wp_current_filter = array();
		foreach ( $wp_filter as $name => $hook ) {
			$old = isset( self::$hooks[ $name ] ) ? self::$hooks[ $name ] : null;
			if ( null !== $old && $hook->callbacks === $old->callbacks ) {
				if ( $stuck ) {
					$wp_filter[ $name ] = clone $old;
				}
				continue;
			}
			foreach ( $hook->callbacks as $priority => $callbacks ) {
				foreach ( $callbacks as $key => $callback ) {
					if ( null === $old || ! isset( $old->callbacks[ $priority ][ $key ] ) ) {
						$added[] = $callback['function'];
					}
				}
			}
			if ( null === $old ) {
				unset( $wp_filter[ $name ] );
			} else {
				$wp_filter[ $name ] = clone $old;
			}
		}
		foreach ( self::$hooks as $name => $old ) {
			if ( ! isset( $wp_filter[ $name ] ) ) {
				$wp_filter[ $name ] = clone $old;
			}
		}
		$hook      = null;
		$callback  = null;
		$callbacks = null;
		return ! self::may_be_remembered( $added );
	}

	/** Plain closures, and objects that nothing else holds, are forgotten. */
	private static function may_be_remembered( array $functions ) {
		if ( ! $functions ) {
			return false;
		}
		if ( ! class_exists( 'WeakReference' ) || count( get_included_files() ) !== self::$files ) {
			return true;
		}
		$owners = array();
		foreach ( $functions as $function ) {
			if ( $function instanceof Closure ) {
				$owner = ( new ReflectionFunction( $function ) )->getClosureThis();
			} elseif ( is_object( $function ) ) {
				$owner = $function;
			} elseif ( is_array( $function ) && is_object( $function[0] ) ) {
				$owner = $function[0];
			} else {
				return true;
			}
			if ( null !== $owner ) {
				$owners[] = WeakReference::create( $owner );
			}
		}
		$functions = null;
		$function  = null;
		$owner     = null;
		gc_collect_cycles();
		foreach ( $owners as $reference ) {
			if ( null !== $reference->get() ) {
				return true;
			}
		}
		return false;
	}

	/** A transaction that a job leaves open would swallow the next job's claim. */
	private static function watch_transactions() {
		add_filter(
			'query',
			function ( $sql ) {
				if ( preg_match( '/^\s*(?:START\s+TRANSACTION|BEGIN|SET\s+(?:@@)?(?:SESSION\s+)?autocommit\s*=\s*(?:0|OFF))\b/i', $sql ) ) {
					self::$transaction = true;
				} elseif ( self::$transaction && preg_match( '/^\s*(?:COMMIT|ROLLBACK)\s*;?\s*$/i', $sql ) ) {
					self::$transaction = false;
				}
				return $sql;
			},
			PHP_INT_MAX
		);
	}

	/** True when there was one to roll back. */
	private static function roll_back() {
		global $wpdb;
		if ( ! self::$transaction ) {
			return false;
		}
		$wpdb->query( 'ROLLBACK' );
		$wpdb->query( 'SET autocommit = 1' );
		self::$transaction = false;
		return true;
	}

	private static function is_outcome_written() {
		$status = ActionScheduler::store()->get_status( self::$job['id'] );
		return ! in_array( $status, array( 'pending', 'in-progress' ), true );
	}

	/* ---- a job that works on at shutdown ------------------------------- */

	public static function has_new_shutdown_callback() {
		global $wp_filter;
		if ( ! isset( $wp_filter['shutdown'] ) ) {
			return false;
		}
		$old = isset( self::$hooks['shutdown'] ) ? self::$hooks['shutdown']->callbacks : array();
		foreach ( $wp_filter['shutdown']->callbacks as $priority => $callbacks ) {
			if ( array_diff_key( $callbacks, isset( $old[ $priority ] ) ? $old[ $priority ] : array() ) ) {
				return true;
			}
		}
		return false;
	}

	/**
	 * Fire `shutdown` here, where what it throws can be caught, then end; the
	 * job is reported by the last of PHP's shutdown functions. Never returns.
	 */
	private static function end_with_shutdown( array $final ) {
		self::$final = $final;
		self::$why   = 'shutdown';
		self::$phase = 'shutdown';
		try {
			do_action( 'shutdown' );
		} catch ( Throwable $e ) {
			if ( ! self::is_plugins( self::$job ) && 'done' === $final[0] ) {
				self::$final = self::final_frame( $e );
			} else {
				error_log( 'wp-cron-fcgi: at shutdown: ' . $e->getMessage() );
			}
		}
		remove_all_actions( 'shutdown' );
		exit;
	}

	public static function report_last() {
		self::unwind( 0 );
		self::end_mail();
		self::tell_end_of( self::$job, self::$final );
		self::$job = null;
		self::leave_lock();
		self::say_end();
	}

	/** What the program asked for after the jobs, as far as it can be done. */
	private static function leave_lock() {
		if ( ! self::$request['lock'] || self::$no_blog || CONNECTION_NORMAL !== connection_status() ) {
			return;
		}
		try {
			self::roll_back();
			self::leave_blogs();
			WPCron_FCGI_Cron::leave_lock( self::$request['lock'] );
		} catch ( Throwable $e ) {
			error_log( 'wp-cron-fcgi: the cron lock: ' . $e->getMessage() );
		}
	}

	/* ---- when PHP ends ------------------------------------------------- */

	public static function on_shutdown() {
		self::$reserve = null;
		if ( 'boot' === self::$phase ) {
			self::tell_maintenance();
		}
		if ( 'boot' === self::$phase || 'over' === self::$phase ) {
			return;
		}
		$error = error_get_last();
		if ( null !== $error && ! ( $error['type'] & self::FATAL ) ) {
			$error = null;
		}
		self::unwind( 0 );
		if ( 'shutdown' === self::$phase && ( null === $error || self::is_plugins( self::$job ) ) ) {
			self::$phase = 'last';
			// The one that ended PHP would do so again and take ours with it.
			remove_all_actions( 'shutdown' );
			// Twice: behind what the first round's functions register.
			register_shutdown_function(
				function () {
					register_shutdown_function( array( __CLASS__, 'report_last' ) );
				}
			);
			return;
		}
		if ( 'cron' === self::$phase ) {
			self::frame( 'took', WPCron_FCGI_Cron::ended( null === $error ? 'PHP ended by exit or die' : self::cut( $error['message'] ) ) );
		} elseif ( 'ask' === self::$phase ) {
			call_user_func( array( self::$part, 'ended' ), null === $error ? 'PHP ended by exit or die' : self::words_of( $error ) );
		} elseif ( null !== self::$job ) {
			self::tell_end_of(
				self::$job,
				array(
					'fatal',
					array(
						'id'   => self::$job['id'],
						'type' => null === $error ? null : $error['type'],
						'msg'  => null === $error ? 'the callback ended PHP by exit or die' : self::cut( $error['message'] ),
						'file' => null === $error ? '' : $error['file'],
						'line' => null === $error ? 0 : $error['line'],
					),
				)
			);
			if ( null !== $error && self::is_plugins( self::$job ) ) {
				self::tell_plugin( $error );
			}
		}
		// Where there is no memory for it the lock grows stale, as core's would.
		if ( null === $error || false === strpos( $error['message'], 'Allowed memory size' ) || false !== @ini_set( 'memory_limit', '-1' ) ) {
			self::leave_lock();
		}
		self::$why = 'ended';
		self::say_end();
	}

	private static function words_of( array $error ) {
		return 'PHP Fatal error ' . self::cut( $error['message'] ) . ' in ' . $error['file'] . ' on line ' . $error['line'];
	}

	/** To those who may know; wp-config.php is read by then, or it is not that. */
	private static function tell_maintenance() {
		if ( function_exists( 'wp_is_maintenance_mode' ) && wp_is_maintenance_mode() && self::is_secret_right() ) {
			self::unwind( 0 );
			self::frame( 'maintenance', array() );
		}
	}

	/**
	 * As the plugin's runner does when PHP ends under it, but for the line in
	 * the log: the program writes that, and the row if this cannot.
	 */
	private static function tell_plugin( array $error ) {
		try {
			remove_action( 'action_scheduler_unexpected_shutdown', array( ActionScheduler::logger(), 'log_unexpected_shutdown' ) );
			ActionScheduler::store()->mark_failure( self::$job['id'] );
		} catch ( Throwable $e ) {
			error_log( 'wp-cron-fcgi: after a fatal error: ' . $e->getMessage() );
		}
		try {
			do_action( 'action_scheduler_unexpected_shutdown', self::$job['id'], $error );
		} catch ( Throwable $e ) {
			error_log( 'wp-cron-fcgi: after a fatal error: ' . $e->getMessage() );
		}
	}

	/* ---- what only PHP knows ------------------------------------------- */

	/** Who else has a hand in this site's mails; null and empty: nobody. */
	private static function mail_facts() {
		$mailer = isset( $GLOBALS['phpmailer'] ) ? get_class( $GLOBALS['phpmailer'] ) : null;
		$core   = array( 'PHPMailer\\PHPMailer\\PHPMailer', 'WP_PHPMailer', 'PHPMailer' );
		$file   = function_exists( 'wp_mail' ) ? ( new ReflectionFunction( 'wp_mail' ) )->getFileName() : '';
		return array(
			'wp_mail_replaced_in' => realpath( ABSPATH . WPINC . '/pluggable.php' ) === realpath( $file ) ? null : $file,
			'pre_wp_mail'         => self::callbacks_of( 'pre_wp_mail' ),
			'phpmailer_init'      => self::callbacks_of( 'phpmailer_init' ),
			'global_class'        => null === $mailer || in_array( $mailer, $core, true ) || 0 === strpos( $mailer, 'WPCron_FCGI_' ) ? null : $mailer,
		);
	}

	/** Names of a hook's callbacks that are not ours. */
	private static function callbacks_of( $hook ) {
		global $wp_filter;
		$names = array();
		foreach ( isset( $wp_filter[ $hook ] ) ? $wp_filter[ $hook ]->callbacks : array() as $at ) {
			foreach ( $at as $callback ) {
				$f = $callback['function'];
				if ( is_array( $f ) && 2 === count( $f ) ) {
					$f = ( is_object( $f[0] ) ? get_class( $f[0] ) : $f[0] ) . '::' . $f[1];
				} elseif ( $f instanceof Closure ) {
					$r = new ReflectionFunction( $f );
					$f = 'a closure in ' . $r->getFileName() . ':' . $r->getStartLine();
				} elseif ( is_object( $f ) ) {
					$f = get_class( $f );
				}
				if ( 0 !== strpos( (string) $f, 'WPCron_FCGI_' ) ) {
					$names[] = self::cut( $f );
				}
			}
		}
		return $names;
	}

	private static function export() {
		global $wpdb;
		$limit  = (int) abs( (int) apply_filters( 'action_scheduler_queue_runner_time_limit', 30 ) );
		$plugin = class_exists( 'ActionScheduler', false ) && did_action( 'action_scheduler_init' );
		$export = array(
			'time'                => microtime( true ),
			'retention_s'         => (int) apply_filters( 'action_scheduler_retention_period', 2678400 ),
			'cleaner_statuses'    => array_values( (array) apply_filters( 'action_scheduler_default_cleaner_statuses', array( 'complete', 'canceled' ) ) ),
			'timeout_s'           => (int) apply_filters( 'action_scheduler_timeout_period', 10 * $limit ),
			'failure_s'           => (int) apply_filters( 'action_scheduler_failure_period', 10 * $limit ),
			'failure_threshold'   => (int) apply_filters( 'action_scheduler_recurring_action_failure_threshold', 5 ),
			'store_class'         => $plugin ? get_class( ActionScheduler::store() ) : null,
			'plugin_version'      => $plugin && class_exists( 'ActionScheduler_Versions', false ) ? ActionScheduler_Versions::instance()->latest_version() : null,
			'migration_complete'  => 'complete' === get_option( 'action_scheduler_migration_status' ),
			'timezone_string'     => (string) get_option( 'timezone_string' ),
			'gmt_offset'          => (float) get_option( 'gmt_offset' ),
			'home'                => home_url(),
			'siteurl'             => site_url(),
			'prefix'              => $wpdb->prefix,
			'base_prefix'         => $wpdb->base_prefix,
			'multisite'           => is_multisite(),
			'object_cache'        => (bool) wp_using_ext_object_cache(),
			'recurrences'         => (object) array_map( array( __CLASS__, 'interval_of' ), wp_get_schedules() ),
			'cron_replaced'       => WPCron_FCGI_Cron::replaced_by(),
			'lock_timeout'        => (int) WP_CRON_LOCK_TIMEOUT,
			'disable_wp_cron'     => defined( 'DISABLE_WP_CRON' ) && DISABLE_WP_CRON,
			'alternate_wp_cron'   => defined( 'ALTERNATE_WP_CRON' ) && ALTERNATE_WP_CRON,
			'companion'           => defined( 'WPCRON_FCGI_COMPANION' ) ? (string) WPCRON_FCGI_COMPANION : null,
			'memory_limit'        => ini_get( 'memory_limit' ),
			'mail'                => self::mail_facts(),
			'environment'         => function_exists( 'wp_get_environment_type' ) ? wp_get_environment_type() : 'production',
		);
		return $export;
	}

	private static function interval_of( $schedule ) {
		return isset( $schedule['interval'] ) ? (int) $schedule['interval'] : 0;
	}

	/** WordPress' handler of fatal errors prints a page and sends mail. */
	public static function no() {
		return false;
	}
}

/**
 * The option `cron` where only PHP may change it: behind a persistent object
 * cache. Everything goes through core's functions, so that their filters run
 * and the cache is kept as core keeps it.
 */
final class WPCron_FCGI_Cron {
	const REFRESH_S = 30;
	// A lock from further ahead is nobody's: spawn_cron() takes it for none.
	const FAR_S = 600;
	// From a writer's UPDATE to its cache write; far more than that takes.
	const SETTLE_US = 250000;
	const REPLACED  = array(
		'pre_schedule_event', 'pre_reschedule_event', 'pre_unschedule_event', 'pre_clear_scheduled_hook',
		'pre_unschedule_hook', 'pre_get_scheduled_event', 'pre_get_ready_cron_jobs', 'pre_option_cron',
		'pre_update_option_cron',
	);
	const REPLACERS = array(
		'HM\Cavalcade\Plugin\Job'                   => 'Cavalcade',
		'Automattic\WP\Cron_Control\Main'           => 'Cron Control',
		'Automattic\WP\Cron_Control\Events_Store'   => 'Cron Control',
	);

	private static $array;           // the option while events are taken
	private static $held_hooks = array(); // others' filters meanwhile
	private static $open = false;    // our transaction
	private static $companion;       // SQL of its lock's name while it is ours
	private static $lock;            // the request's, once it was taken

	/* ---- taking events ------------------------------------------------- */

	/** What was asked by the request's `take`; the fields of frame `took`. */
	public static function take( array $take ) {
		global $wpdb;
		$was = self::lock();
		if ( ! self::take_lock( $was, $take['lock'] ) ) {
			return array( 'held' => true ) + self::answer();
		}
		self::$lock = $take['lock'];
		$answer     = self::answer();
		$gone       = array();
		$quiet      = $wpdb->suppress_errors( true );
		try {
			if ( $take['events'] ) {
				$answer = self::take_events( $take['events'], $gone );
			}
		} catch ( Throwable $e ) {
			$answer = self::give_up( $e->getMessage() );
		}
		self::drop_needless_lock();
		$gone && wp_using_ext_object_cache() && self::correct_database( $gone );
		$wpdb->suppress_errors( $quiet );
		return $answer;
	}

	/** Of what was taken, and before, nothing may be left to run. */
	private static function drop_needless_lock() {
		global $wpdb;
		$lock       = self::$lock;
		self::$lock = null;
		if ( null === $lock || self::lock() !== $lock['value'] ) {
			return;
		}
		$left = $wpdb->get_var( $lock['left'] );
		if ( null !== $left && 0 === (int) $left ) {
			delete_transient( 'doing_cron' );
		}
	}

	/** PHP ends while events are taken. */
	public static function ended( $why ) {
		$answer = self::give_up( $why );
		self::drop_needless_lock();
		return $answer;
	}

	private static function answer() {
		return array( 'taken' => 0, 'dropped' => 0, 'gone' => 0, 'held' => false, 'why' => '' );
	}

	/**
	 * The rows first, the option last: until its one write nothing has reached
	 * the cache, and after it only COMMIT can fail.
	 */
	private static function take_events( array $events, array &$gone ) {
		global $wpdb;
		$answer = self::answer();
		$thread = self::begin();
		$before = self::read();
		$there  = array();
		foreach ( $events as $event ) {
			$hook = base64_decode( $event['hook'] );
			$key  = base64_decode( $event['key'] );
			$ts   = self::find( $before, $event['ts'], $hook, $key );
			if ( null === $ts ) {
				$answer['gone']++;
				$gone[] = array( $event['ts'], $hook, $key );
				continue;
			}
			self::query( $event['insert'] );
			$there[] = array( $ts, $hook, $key, (bool) $event['drop'] );
			$answer[ $event['drop'] ? 'dropped' : 'taken' ]++;
		}
		if ( WPCron_FCGI_Worker::connection_id() !== $thread ) {
			throw new RuntimeException( 'the connection was lost while events were taken' );
		}
		self::$array = $before;
		self::hold_writes();
		foreach ( $there as $slot ) {
			self::take_slot( $slot[0], $slot[1], $slot[2], $slot[3] );
		}
		self::let_writes();
		if ( self::$array !== $before ) {
			self::write( self::$array );
		}
		if ( false === $wpdb->query( 'COMMIT' ) || WPCron_FCGI_Worker::connection_id() !== $thread ) {
			throw new RuntimeException( 'the connection was lost at COMMIT' );
		}
		self::end();
		return $answer;
	}

	/**
	 * The row lock is what other takers, and writers, wait for. The companion
	 * takes its own lock before that; in the other order both would wait.
	 */
	private static function begin() {
		global $wpdb;
		$name = is_callable( array( 'WPCron_FCGI_Companion', 'name' ) ) ? WPCron_FCGI_Companion::name() : null;
		if ( null !== $name && '1' === $wpdb->get_var( "SELECT GET_LOCK($name, 2)" ) ) {
			self::$companion = $name;
		}
		$thread     = WPCron_FCGI_Worker::connection_id();
		self::$open = true;
		self::query( 'START TRANSACTION' );
		// wpdb connects again by itself; what it then writes of the option
		// would stand without the rows.
		self::query( 'SET @wpcron_fcgi_take = 1' );
		self::query( "SELECT option_id FROM {$wpdb->options} WHERE option_name = 'cron' FOR UPDATE" );
		self::forget();
		return $thread;
	}

	private static function end() {
		global $wpdb;
		self::$open = false;
		if ( null !== self::$companion ) {
			$wpdb->query( 'SELECT RELEASE_LOCK(' . self::$companion . ')' );
			self::$companion = null;
		}
	}

	private static function query( $sql ) {
		global $wpdb;
		$rows = $wpdb->query( $sql );
		if ( false === $rows ) {
			throw new RuntimeException( 'database: ' . $wpdb->last_error );
		}
		return $rows;
	}

	/** This process' copies are as old as its boot. */
	private static function forget() {
		if ( ! wp_using_ext_object_cache() ) {
			self::drop_copies();
			return;
		}
		wp_cache_get( 'notoptions', 'options', true );
		wp_cache_get( 'cron', 'options', true );
		wp_load_alloptions( true );
	}

	private static function drop_copies() {
		wp_cache_delete( 'alloptions', 'options' );
		wp_cache_delete( 'cron', 'options' );
		wp_cache_delete( 'notoptions', 'options' );
	}

	private static function read() {
		$array = _get_cron_array();
		return is_array( $array ) ? $array : array();
	}

	/** The slot's timestamp as it stands, by chance "1700000005.5"; or null. */
	private static function find( array $array, $ts, $hook, $key ) {
		if ( isset( $array[ $ts ][ $hook ][ $key ] ) ) {
			return $ts;
		}
		foreach ( $array as $as_is => $hooks ) {
			if ( is_string( $as_is ) && is_numeric( $as_is ) && (int) ceil( (float) $as_is ) === $ts && isset( $hooks[ $hook ][ $key ] ) ) {
				return $as_is;
			}
		}
		return null;
	}

	/**
	 * Core's functions work on our copy of the array, which is written once:
	 * they would write it twice an event.
	 */
	private static function hold_writes() {
		global $wp_filter;
		foreach ( array( 'pre_option_cron', 'pre_update_option_cron' ) as $name ) {
			self::$held_hooks[ $name ] = isset( $wp_filter[ $name ] ) ? $wp_filter[ $name ] : null;
			unset( $wp_filter[ $name ] );
		}
		add_filter( 'pre_option_cron', array( __CLASS__, 'on_read' ) );
		add_filter( 'pre_update_option_cron', array( __CLASS__, 'on_write' ), 10, 2 );
	}

	private static function let_writes() {
		global $wp_filter;
		foreach ( self::$held_hooks as $name => $hook ) {
			unset( $wp_filter[ $name ] );
			if ( null !== $hook ) {
				$wp_filter[ $name ] = $hook;
			}
		}
		self::$held_hooks = array();
	}

	public static function on_read() {
		return self::$array + array( 'version' => 2 );
	}

	/** update_option() sees no change, and says that nothing was written. */
	public static function on_write( $new, $old ) {
		unset( $new['version'] );
		self::$array = $new;
		return $old;
	}

	/** As wp-cron.php does before it fires an event. */
	private static function take_slot( $ts, $hook, $key, $drop ) {
		$event = self::$array[ $ts ][ $hook ][ $key ];
		if ( ! empty( $event['schedule'] ) && ! ( $drop && self::has_later( $ts, $hook, $key ) ) ) {
			$result = wp_reschedule_event( $ts, $event['schedule'], $hook, $event['args'], true );
			self::tell_error( 'reschedule', $result, $hook, $event );
		}
		$result = wp_unschedule_event( $ts, $hook, $event['args'], true );
		if ( isset( self::$array[ $ts ][ $hook ][ $key ] ) ) {
			// Stored under a key that the arguments do not have any more.
			self::remove( $ts, $hook, $key );
		} else {
			self::tell_error( 'unschedule', $result, $hook, $event );
		}
	}

	private static function remove( $ts, $hook, $key ) {
		unset( self::$array[ $ts ][ $hook ][ $key ] );
		if ( ! self::$array[ $ts ][ $hook ] ) {
			unset( self::$array[ $ts ][ $hook ] );
		}
		if ( ! self::$array[ $ts ] ) {
			unset( self::$array[ $ts ] );
		}
	}

	private static function has_later( $ts, $hook, $key ) {
		foreach ( self::$array as $other => $hooks ) {
			if ( $other > $ts && isset( $hooks[ $hook ][ $key ] ) ) {
				return true;
			}
		}
		return false;
	}

	/** `could_not_set` is what on_write() makes of every write. */
	private static function tell_error( $what, $result, $hook, array $event ) {
		if ( ! is_wp_error( $result ) || 'could_not_set' === $result->get_error_code() ) {
			return;
		}
		error_log( sprintf( 'Cron %1$s event error for hook: %2$s, Error code: %3$s, Error message: %4$s, Data: %5$s', $what, $hook, $result->get_error_code(), $result->get_error_message(), wp_json_encode( $event ) ) );
		do_action( "cron_{$what}_event_error", $result, $hook, $event );
	}

	/** The one write; the cache follows it. */
	private static function write( array $array ) {
		add_filter( 'query', array( __CLASS__, 'guard' ), PHP_INT_MAX );
		try {
			$result = _set_cron_array( $array, true );
		} finally {
			remove_filter( 'query', array( __CLASS__, 'guard' ), PHP_INT_MAX );
		}
		if ( is_wp_error( $result ) || false === $result ) {
			throw new RuntimeException( 'the option cron could not be written' . ( $GLOBALS['wpdb']->last_error ? ': ' . $GLOBALS['wpdb']->last_error : '' ) );
		}
	}

	/** On a connection that has not begun our transaction it changes nothing. */
	public static function guard( $sql ) {
		global $wpdb;
		$head = "UPDATE `{$wpdb->options}` SET ";
		$tail = "WHERE `option_name` = 'cron'";
		if ( 0 === strncmp( $sql, $head, strlen( $head ) ) && substr( $sql, -strlen( $tail ) ) === $tail ) {
			$sql .= ' AND @wpcron_fcgi_take = 1';
		}
		return $sql;
	}

	/** Roll back, and let everybody read the option from the database. */
	private static function give_up( $why ) {
		global $wpdb;
		self::let_writes();
		if ( self::$open ) {
			$wpdb->query( 'ROLLBACK' );
			self::drop_copies();
			self::end();
		}
		return array( 'why' => str_replace( "\0", ' ', substr( $why, 0, 1000 ) ) ) + self::answer();
	}

	/**
	 * Slots that are in the database and not in the cache would be asked for
	 * again and again. What the cache has is what core writes next, so it is
	 * written now; unless a writer was just between its two steps.
	 */
	private static function correct_database( array $gone ) {
		global $wpdb;
		try {
			usleep( self::SETTLE_US );
			self::begin();
			$stored = maybe_unserialize( $wpdb->get_var( "SELECT option_value FROM {$wpdb->options} WHERE option_name = 'cron'" ) );
			$cached = self::read();
			foreach ( $gone as $slot ) {
				if ( is_array( $stored ) && null !== self::find( $stored, $slot[0], $slot[1], $slot[2] )
					&& null === self::find( $cached, $slot[0], $slot[1], $slot[2] ) ) {
					$wpdb->update( $wpdb->options, array( 'option_value' => serialize( $cached + array( 'version' => 2 ) ) ), array( 'option_name' => 'cron' ) );
					break;
				}
			}
			self::query( 'COMMIT' );
			self::end();
		} catch ( Throwable $e ) {
			self::give_up( '' );
			error_log( 'wp-cron-fcgi: the option cron: ' . $e->getMessage() );
		}
	}

	/* ---- the lock ------------------------------------------------------ */

	/** Its value as it is now, or null; wp-cron.php: _get_cron_lock() */
	private static function lock() {
		global $wpdb;
		$value = wp_using_ext_object_cache()
			? wp_cache_get( 'doing_cron', 'transient', true )
			: $wpdb->get_var( "SELECT option_value FROM {$wpdb->options} WHERE option_name = '_transient_doing_cron' LIMIT 1" );
		return $value ? (string) $value : null;
	}

	private static function is_one_of( $held, array $lock ) {
		return null !== $held && ( $held === $lock['value'] || in_array( $held, $lock['ours'], true ) );
	}

	/** True: it has our value now. */
	private static function take_lock( $held, array $lock ) {
		$now = microtime( true );
		$at  = (float) $held;
		if ( null !== $held && ! self::is_one_of( $held, $lock ) && $at + $lock['stale_s'] > $now && $at <= $now + self::FAR_S ) {
			return false;
		}
		if ( null === $held && wp_using_ext_object_cache() ) {
			// Of those who find none only one can add it.
			return wp_cache_add( 'doing_cron', $lock['value'], 'transient' ) || self::lock() === $lock['value'];
		}
		if ( $held !== $lock['value'] ) {
			self::set_lock( $lock['value'] );
		}
		return self::lock() === $lock['value'];
	}

	private static function set_lock( $value ) {
		if ( ! wp_using_ext_object_cache() ) {
			self::drop_copies();
			wp_cache_delete( '_transient_doing_cron', 'options' );
		}
		set_transient( 'doing_cron', $value );
	}

	/** After the jobs: the request's `lock`. */
	public static function leave_lock( array $lock ) {
		global $wpdb;
		$left = $wpdb->get_var( $lock['left'] );
		$held = self::lock();
		$ours = self::is_one_of( $held, $lock );
		if ( null !== $left && 0 === (int) $left ) {
			$ours && delete_transient( 'doing_cron' );
			return;
		}
		$age = microtime( true ) - (float) $held;
		if ( null === $held || ( $ours && $age > self::REFRESH_S && (float) $lock['value'] > (float) $held ) ) {
			self::set_lock( $lock['value'] );
		}
	}

	/* ---- whether the option is the truth ------------------------------- */

	/**
	 * Who keeps events elsewhere, in words; null: nobody. A table that such a
	 * plugin left behind does not count: without the plugin the option does.
	 */
	public static function replaced_by() {
		foreach ( self::REPLACERS as $class => $name ) {
			if ( class_exists( $class, false ) ) {
				return 'the plugin ' . $name . ' keeps cron events in a table of its own';
			}
		}
		foreach ( self::REPLACED as $hook ) {
			$callback = self::first_callback( $hook );
			if ( null !== $callback ) {
				return $callback . ' is on the filter ' . $hook . ', so cron events may be kept elsewhere';
			}
		}
		return null;
	}

	/** The name of the first that is not the companion's, or null. */
	private static function first_callback( $hook ) {
		global $wp_filter;
		$all = isset( $wp_filter[ $hook ] ) ? $wp_filter[ $hook ]->callbacks : array();
		foreach ( $all as $callbacks ) {
			foreach ( $callbacks as $callback ) {
				// The name of an anonymous class goes on after a NUL.
				$name = strtok( self::name_of( $callback['function'] ), "\0" );
				if ( 0 !== stripos( $name, 'WPCron_FCGI_' ) ) {
					return $name;
				}
			}
		}
		return null;
	}

	private static function name_of( $function ) {
		if ( $function instanceof Closure ) {
			$where = new ReflectionFunction( $function );
			return 'a closure in ' . $where->getFileName() . ' line ' . $where->getStartLine();
		}
		if ( is_array( $function ) ) {
			return ( is_object( $function[0] ) ? get_class( $function[0] ) : $function[0] ) . '::' . $function[1] . '()';
		}
		return is_object( $function ) ? get_class( $function ) : $function . '()';
	}
}

/**
 * What the files that answer an `ask` have in common: each entry of its list is
 * worked on by the method named as the operation, and answered by itself.
 *
 * Who uses it has the constant OPS, operation => whatever why_not() needs to
 * know of it, and these methods:
 *   why_not( $op )           nothing can be done, and why; null: it can
 *   before( array $entries ) if need be: those that come next, chunk() of them
 *   $op( array $entry )      yes(), no() or a WP_Error
 *
 * Frames:
 *   refused  {why}          nothing was done
 *   begin    {i}            what ends PHP now is this entry's
 *   answer   {i, ok, ...}   not ok: msg, code
 *   broke    {i, msg}       PHP ends in the midst of it
 */
trait WPCron_FCGI_Part {
	private static $at;       // the entry that is worked on
	private static $said = 0; // bytes

	/** Work off the request's `ask`; why it stopped. */
	public static function run( array $ask ) {
		$why = isset( self::OPS[ $ask['op'] ] ) ? self::why_not( $ask['op'] ) : 'no operation ' . $ask['op'];
		if ( null !== $why ) {
			WPCron_FCGI_Worker::frame( 'refused', array( 'why' => $why ) );
			return 'refused';
		}
		foreach ( array_values( $ask['list'] ) as $n => $entry ) {
			$why = self::reason_to_stop();
			if ( null !== $why ) {
				return $why;
			}
			if ( 0 === $n % self::chunk() ) {
				self::before( array_slice( $ask['list'], $n, self::chunk() ) );
			}
			self::$at = $entry['i'];
			self::say( 'begin', array( 'i' => self::$at ) );
			$answer = self::answer( $ask['op'], $entry );
			WPCron_FCGI_Worker::tidy();
			self::say( 'answer', array( 'i' => self::$at ) + $answer );
			self::$at = null;
		}
		return 'done';
	}

	/** PHP ends while entries are worked on. */
	public static function ended( $message ) {
		if ( null !== self::$at ) {
			self::say( 'broke', array( 'i' => self::$at, 'msg' => $message ) );
		}
	}

	private static function before( array $entries ) {
	}

	/** As many are made ready at once, and forgotten after that. */
	private static function chunk() {
		return 50;
	}

	private static function code_of_exception( $op ) {
		return 'exception';
	}

	private static function reason_to_stop() {
		// Only the second write to a connection that is closed shows it.
		for ( $n = 0; $n < 2; $n++ ) {
			echo "\n";
			flush();
		}
		if ( CONNECTION_NORMAL !== connection_status() ) {
			return 'gone';
		}
		// What the other side takes in an answer; less some room.
		return self::$said > 3800000 ? 'full' : WPCron_FCGI_Worker::reason_to_stop();
	}

	private static function say( $frame, array $fields ) {
		self::$said += WPCron_FCGI_Worker::frame( $frame, $fields );
	}

	/** What one entry came to; an exception costs that one alone. */
	private static function answer( $op, array $entry ) {
		WPCron_FCGI_Worker::discard_output();
		try {
			$answer = self::$op( $entry );
		} catch ( Throwable $e ) {
			$text   = '' === $e->getMessage() ? get_class( $e ) : $e->getMessage();
			$answer = self::no( self::code_of_exception( $op ), $text );
		}
		if ( is_wp_error( $answer ) ) {
			$answer = self::no( (string) $answer->get_error_code(), implode( '; ', array_filter( $answer->get_error_messages(), 'strlen' ) ) );
		}
		$json = json_encode( $answer, JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR );
		// And what it takes in a line.
		return strlen( $json ) > 60000 ? self::no( 'too_large', 'the answer of PHP is over 60000 bytes' ) : $answer;
	}

	private static function yes( array $more = array() ) {
		return array( 'ok' => true ) + $more;
	}

	private static function no( $code, $message ) {
		return array( 'ok' => false, 'code' => $code, 'msg' => WPCron_FCGI_Worker::cut( $message ) );
	}
}

$wpcron_fcgi_root = WPCron_FCGI_Worker::accept();

/*
 * fastcgi_finish_request() would end the answer under the frames. The pool
 * file disables it; then code that calls it unasked finds this one. Where it
 * is not disabled and a job calls it, the next frame fails and the batch ends.
 */
define( 'WPCRON_FCGI_FINISH', function_exists( 'fastcgi_finish_request' ) );
if ( ! WPCRON_FCGI_FINISH && PHP_VERSION_ID >= 80000 ) {
	function fastcgi_finish_request() {
		return true;
	}
}

define( 'DOING_CRON', true );
define( 'WP_USE_THEMES', false );
$wp_filter = array(
	'wp_fatal_error_handler_enabled' => array(
		10 => array(
			'wpcron_fcgi' => array(
				'function'      => array( 'WPCron_FCGI_Worker', 'no' ),
				'accepted_args' => 0,
			),
		),
	),
);

require $wpcron_fcgi_root . '/wp-load.php';
WPCron_FCGI_Worker::run();

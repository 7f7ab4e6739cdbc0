<?php
/**
 * What the php executor of wp-cron-fcgi runs in php-fpm: boots WordPress once
 * and runs a batch of jobs, one framed JSON line for each step.
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
 *   jobs       [{id, hook, args, own, start, running, log}]; from own on, SQL
 *   cron       then run WordPress' own cron events that are due, once
 *   cron_key   value of the doing_cron lock that belongs to the caller, if any
 *   cron_native hooks the caller serves itself: rescheduled, not fired
 *
 * Secret: "expiry.nonce.hmac", hmac = HMAC-SHA-256 in hexadecimal over
 * "expiry.nonce." and the SHA-256 of the body in hexadecimal. The key is the
 * concatenation of the constants in WPCron_FCGI_Worker::SALTS, in that order;
 * the program reads the same from wp-config.php, so nothing is stored.
 *
 * Frames: newline, token, JSON, newline. All else in the output is noise.
 *   hello   {pid, php, wp, mem, mode, blog, finish, why?, export?}
 *   take    {id}                   the next thing is its `own` or `start`
 *   skip    {id, why, lost}        not run; lost: the row is not ours any more
 *   start   {id}                   its callbacks run
 *   done    {id, ms, mem}          hook mode
 *   fail    {id, class, msg, file, line}
 *   settled {id, status, msg, ms, mem}   plugin mode: the row is written
 *   fatal   {id, type, msg, file, line}  PHP ends; type null: exit() or die()
 *   event   {hook}                 a cron event begins
 *   cron    {run, failed, native, left, held, fatal?}
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
	const SECRET_LIFE_S = 30;
	const CLOCK_SLACK_S = 5;
	const MEMORY_SHARE  = 0.6;
	const TEXT_MAX      = 1000;
	const LOCK_MARK     = '0074911';
	const FATAL         = E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_RECOVERABLE_ERROR;

	private static $body;
	private static $secret;
	private static $request;
	private static $reserve;

	/* What runs, for the shutdown function: boot, idle, job, shutdown, last, cron, over. */
	private static $phase = 'boot';
	private static $mode  = 'hook';
	private static $refusal;
	private static $begun_at;
	private static $ran = 0;

	private static $job;          // the one that runs
	private static $job_began;
	private static $outcome;      // array( status, message ) from the plugin's hooks
	private static $opening = 0;  // connection whose transaction marks the job's row running
	private static $closing = false; // ours around the plugin's writes of its end
	private static $final;        // frame held back until all shutdown functions ran
	private static $rest = array();
	private static $why  = 'done';

	private static $hooks;        // name => WP_Hook, as it was after boot
	private static $files;        // number of included files before the job
	private static $blog_depth;
	private static $handlers;
	private static $settings;     // ini values that a job may change
	private static $transaction = false;

	private static $cron;         // counts of the cron loop
	private static $cron_key;

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
			'blog_id' => 1, 'context' => 'WP Cron FCGI', 'budget_ms' => 20000, 'cron' => false,
			'export' => false, 'cron_key' => '', 'cron_native' => array(),
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

	private static function frame( $type, array $fields ) {
		$json = json_encode(
			array( 'frame' => $type ) + $fields,
			JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES | JSON_PARTIAL_OUTPUT_ON_ERROR
		);
		echo "\n", self::$request['token'], $json, "\n";
		flush();
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
	private static function discard_output() {
		ob_start(
			function () {
				return '';
			},
			8192
		);
	}

	private static function cut( $text ) {
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
		self::remember_state();
		self::say_hello();
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
		if ( self::$request['cron'] && 'done' === self::$why && CONNECTION_NORMAL === connection_status() ) {
			self::run_cron();
		}
		self::say_end();
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
		self::frame(
			'end',
			array(
				'n'        => self::$ran,
				'mem_peak' => memory_get_peak_usage( true ),
				'rest'     => self::$rest,
				'why'      => self::$why,
			)
		);
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
	private static function reason_to_stop() {
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

	/** False: nothing may run after it in this process. */
	private static function run_job( array $job ) {
		if ( 'none' === self::$mode ) {
			self::skip( $job, self::$refusal, false );
			return true;
		}
		/*
		 * The second write since the last job's frame: by now a connection
		 * that is gone has shown itself, over TCP too. It also fails after a
		 * job has called fastcgi_finish_request().
		 */
		self::frame( 'take', array( 'id' => $job['id'] ) );
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
		$clean       = self::restore_state();
		self::$phase = 'idle';
		self::$job   = null;
		self::frame( $final[0], $final[1] );
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
		$sql    = 'plugin' === self::$mode ? $job['own'] : $job['start'];
		$quiet  = $wpdb->suppress_errors( true );
		$thread = self::connection_id();
		$rows   = false;
		for ( $try = 0; $try < 4 && false === $rows; $try++ ) {
			self::begin_opening();
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
		if ( 0 === $rows && 'hook' === self::$mode && self::connection_id() !== $thread && ! empty( $job['running'] ) ) {
			$rows = (int) $wpdb->get_var( $job['running'] );
		}
		if ( 1 === $rows && 'hook' === self::$mode && '' !== (string) $job['log'] ) {
			$wpdb->query( $job['log'] );
		}
		if ( 1 !== $rows || 'hook' === self::$mode ) {
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
			1 === $rows && '' !== (string) $job['log'] && $wpdb->query( $job['log'] );
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

	private static function connection_id() {
		global $wpdb;
		$dbh = isset( $wpdb->dbh ) ? $wpdb->dbh : null;
		return $dbh instanceof mysqli ? mysqli_thread_id( $dbh ) : 0;
	}

	/** Run the callbacks; what they threw, or null. */
	private static function fire( array $job ) {
		try {
			if ( 'plugin' === self::$mode ) {
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

	/** What became of the job, as array( frame, fields ). */
	private static function final_frame( $thrown ) {
		$fields = array(
			'id'  => self::$job['id'],
			'ms'  => (int) round( ( microtime( true ) - self::$job_began ) * 1000 ),
			'mem' => memory_get_usage( true ),
		);
		if ( 'plugin' === self::$mode ) {
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

	/* ---- one job must not colour the next ------------------------------ */

	private static function remember_state() {
		self::watch_transactions();
		self::$hooks = array();
		foreach ( $GLOBALS['wp_filter'] as $name => $hook ) {
			self::$hooks[ $name ] = clone $hook;
		}
		self::$blog_depth = self::blog_depth();
		self::$handlers   = array( self::error_handler(), self::exception_handler() );
		self::$settings   = array();
		foreach ( array( 'memory_limit', 'error_reporting', 'display_errors', 'precision', 'default_socket_timeout' ) as $name ) {
			self::$settings[ $name ] = ini_get( $name );
		}
	}

	private static function blog_depth() {
		return isset( $GLOBALS['_wp_switched_stack'] ) ? count( $GLOBALS['_wp_switched_stack'] ) : 0;
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
	private static function restore_state() {
		try {
			return self::restore_all();
		} catch ( Throwable $e ) {
			error_log( 'wp-cron-fcgi: after a job: ' . $e->getMessage() );
			return false;
		}
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
		for ( $i = 0; $i < 64 && self::blog_depth() > self::$blog_depth; $i++ ) {
			restore_current_blog();
		}
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

	private static function has_new_shutdown_callback() {
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
			if ( 'plugin' !== self::$mode && 'done' === $final[0] ) {
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
		self::frame( self::$final[0], self::$final[1] );
		self::$job = null;
		self::say_end();
	}

	/* ---- when PHP ends ------------------------------------------------- */

	public static function on_shutdown() {
		self::$reserve = null;
		if ( 'boot' === self::$phase || 'over' === self::$phase ) {
			return;
		}
		$error = error_get_last();
		if ( null !== $error && ! ( $error['type'] & self::FATAL ) ) {
			$error = null;
		}
		self::unwind( 0 );
		if ( 'shutdown' === self::$phase && ( null === $error || 'plugin' === self::$mode ) ) {
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
			self::cron_ended_by( $error );
		} elseif ( null !== self::$job ) {
			self::frame(
				'fatal',
				array(
					'id'   => self::$job['id'],
					'type' => null === $error ? null : $error['type'],
					'msg'  => null === $error ? 'the callback ended PHP by exit or die' : self::cut( $error['message'] ),
					'file' => null === $error ? '' : $error['file'],
					'line' => null === $error ? 0 : $error['line'],
				)
			);
			if ( null !== $error && 'plugin' === self::$mode ) {
				self::tell_plugin( $error );
			}
		}
		self::$why = 'ended';
		self::say_end();
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

	/* ---- WordPress' own cron ------------------------------------------- */

	/**
	 * wp-cron.php from "collect ready events" on. An exception costs its event
	 * alone, and a fatal error lets go of the lock; stock keeps it for a minute.
	 */
	private static function run_cron() {
		self::$cron = array( 'run' => 0, 'failed' => 0, 'native' => 0, 'left' => 0, 'held' => false );
		self::forget_options();
		$ready = wp_get_ready_cron_jobs();
		if ( $ready && self::take_cron_lock() ) {
			self::$phase = 'cron';
			self::run_events( $ready );
			self::$phase = 'idle';
			self::drop_cron_lock();
		} elseif ( $ready ) {
			self::$cron['held'] = true;
		}
		self::frame( 'cron', self::$cron );
	}

	/** The jobs before may have scheduled or cleared events elsewhere. */
	private static function forget_options() {
		if ( ! wp_using_ext_object_cache() ) {
			wp_cache_delete( 'alloptions', 'options' );
			wp_cache_delete( 'cron', 'options' );
			wp_cache_delete( '_transient_doing_cron', 'options' );
			wp_cache_delete( 'notoptions', 'options' );
		}
	}

	private static function cron_lock() {
		global $wpdb;
		if ( wp_using_ext_object_cache() ) {
			return wp_cache_get( 'doing_cron', 'transient', true );
		}
		return $wpdb->get_var( "SELECT option_value FROM {$wpdb->options} WHERE option_name = '_transient_doing_cron' LIMIT 1" );
	}

	/**
	 * A page load stores a lock and then pings the program, so a fresh lock is
	 * no sign of a runner; waiting for its end would starve a busy site. It is
	 * taken over: a stock runner that does hold it stops after its event, which
	 * it unscheduled before it ran it. Only a lock of another worker is left
	 * alone; it ends with LOCK_MARK.
	 */
	private static function take_cron_lock() {
		$held = self::cron_lock();
		$key  = (string) self::$request['cron_key'];
		if ( '' !== $key && $held === $key ) {
			self::$cron_key = $key;
			return true;
		}
		$fresh = $held && (float) $held + WP_CRON_LOCK_TIMEOUT > microtime( true );
		if ( $fresh && self::LOCK_MARK === substr( $held, -strlen( self::LOCK_MARK ) ) ) {
			return false;
		}
		self::$cron_key = sprintf( '%.12F', microtime( true ) ) . self::LOCK_MARK;
		return self::replace_cron_lock( $held );
	}

	/** True for one of those who try at once. */
	private static function replace_cron_lock( $held ) {
		global $wpdb;
		if ( wp_using_ext_object_cache() ) {
			set_transient( 'doing_cron', self::$cron_key );
			return self::cron_lock() === self::$cron_key;
		}
		if ( null === $held ) {
			$sql = $wpdb->prepare( "INSERT IGNORE INTO {$wpdb->options} (option_name, option_value, autoload) VALUES ('_transient_doing_cron', %s, 'yes')", self::$cron_key );
		} else {
			$sql = $wpdb->prepare( "UPDATE {$wpdb->options} SET option_value = %s WHERE option_name = '_transient_doing_cron' AND option_value = %s", self::$cron_key, $held );
		}
		$won = 1 === $wpdb->query( $sql );
		self::forget_options();
		return $won;
	}

	private static function drop_cron_lock() {
		if ( self::cron_lock() === self::$cron_key ) {
			delete_transient( 'doing_cron' );
		}
	}

	private static function run_events( array $ready ) {
		$now  = microtime( true );
		$list = array();
		foreach ( $ready as $timestamp => $hooks ) {
			if ( $timestamp > $now ) {
				break;
			}
			foreach ( $hooks as $hook => $keys ) {
				foreach ( $keys as $key => $event ) {
					$list[] = array( $timestamp, $hook, $key, $event );
				}
			}
		}
		foreach ( $list as $i => $item ) {
			self::$cron['left'] = count( $list ) - $i;
			if ( $i > 0 && null !== self::reason_to_stop() ) {
				return;
			}
			self::frame( 'event', array( 'hook' => $item[1] ) );
			if ( CONNECTION_NORMAL !== connection_status() ) {
				return;
			}
			self::forget_options();
			if ( self::is_scheduled( $item[0], $item[1], $item[2] ) ) {
				self::run_event( $item[0], $item[1], $item[3] );
			}
			if ( self::cron_lock() !== self::$cron_key ) {
				self::$cron['left']--;
				return;
			}
		}
		self::$cron['left'] = 0;
	}

	/** Still there, unless a plugin keeps events elsewhere. */
	private static function is_scheduled( $timestamp, $hook, $key ) {
		if ( has_filter( 'pre_get_ready_cron_jobs' ) ) {
			return true;
		}
		$all = _get_cron_array();
		return isset( $all[ $timestamp ][ $hook ][ $key ] );
	}

	private static function run_event( $timestamp, $hook, array $event ) {
		if ( $event['schedule'] ) {
			$result = wp_reschedule_event( $timestamp, $event['schedule'], $hook, $event['args'], true );
			if ( is_wp_error( $result ) ) {
				error_log( sprintf( 'Cron reschedule event error for hook: %1$s, Error code: %2$s, Error message: %3$s, Data: %4$s', $hook, $result->get_error_code(), $result->get_error_message(), wp_json_encode( $event ) ) );
				do_action( 'cron_reschedule_event_error', $result, $hook, $event );
			}
		}
		$result = wp_unschedule_event( $timestamp, $hook, $event['args'], true );
		if ( is_wp_error( $result ) ) {
			error_log( sprintf( 'Cron unschedule event error for hook: %1$s, Error code: %2$s, Error message: %3$s, Data: %4$s', $hook, $result->get_error_code(), $result->get_error_message(), wp_json_encode( $event ) ) );
			do_action( 'cron_unschedule_event_error', $result, $hook, $event );
		}
		// Rows that are kept elsewhere are known to the plugin's runner alone.
		if ( 'none' !== self::$mode && in_array( $hook, self::$request['cron_native'], true ) ) {
			self::$cron['native']++;
			return;
		}
		self::discard_output();
		error_clear_last();
		try {
			do_action_ref_array( $hook, $event['args'] );
			self::$cron['run']++;
		} catch ( Throwable $e ) {
			self::$cron['failed']++;
			$GLOBALS['wp_current_filter'] = array();
			error_log( sprintf( 'wp-cron-fcgi: cron event %s: %s in %s on line %d', $hook, $e->getMessage(), $e->getFile(), $e->getLine() ) );
		}
		self::roll_back();
		self::unwind( 0 );
		for ( $i = 0; $i < 64 && self::blog_depth() > self::$blog_depth; $i++ ) {
			restore_current_blog();
		}
		wp_set_current_user( 0 );
	}

	/** A fatal error or exit() in an event: that event is lost, as in stock. */
	private static function cron_ended_by( $error ) {
		self::$cron['failed']++;
		self::$cron['left']--;
		self::$cron['fatal'] = null === $error ? 'exit' : self::cut( $error['message'] );
		self::frame( 'cron', self::$cron );
		if ( null === $error || false === strpos( $error['message'], 'Allowed memory size' ) ) {
			self::drop_cron_lock();
		}
	}

	/* ---- what only PHP knows ------------------------------------------- */

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
			'cron_due'            => (bool) wp_get_ready_cron_jobs(),
			'memory_limit'        => ini_get( 'memory_limit' ),
			'environment'         => function_exists( 'wp_get_environment_type' ) ? wp_get_environment_type() : 'production',
		);
		return $export;
	}

	/** WordPress' handler of fatal errors prints a page and sends mail. */
	public static function no() {
		return false;
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

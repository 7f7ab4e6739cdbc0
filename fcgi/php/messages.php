<?php
/**
 * Event Espresso's work on its messages, done by its own classes: the part of
 * worker.php that is loaded for a request whose `ask` is `what` messages. It
 * stands beside it.
 *
 * The plugin's own routines take and release its locks; what is locked is left
 * alone. Each message has a processor of its own, as the plugin's would go over
 * those before it again.
 *
 *   ask        {what, op, list: [entry]}; each entry has `i`, its number
 *     generate {id, lock_s, done}: one row MIC; done: SQL that ends it in the
 *              program's journal, run where nobody hears the answer
 *     send     {id, lock_s, mail}: one row MID or MRS; mail: whose its mails
 *              are in the outbox, if they go there
 *     options  {name, value}: as stored; without a value it is deleted
 *     describe {}
 *   A lock that stays behind when PHP is killed expires after `lock_s`.
 *
 * Frames are those of WPCron_FCGI_Part; the fields of an answer:
 *   generate, send: status ("": no row), locked, mails; kick: "send" where
 *              the plugin would ask itself by HTTP for that at once; msg also
 *              where the plugin has failed the row. generate, not ok and no
 *              row: only some of what was made of it is saved. Where none is,
 *              and where nobody knows, there is no status
 *   describe   told
 */

if ( ! class_exists( 'WPCron_FCGI_Worker', false ) ) {
	http_response_code( 404 );
	exit;
}

final class WPCron_FCGI_Messages {
	use WPCron_FCGI_Part {
		run as private work_off;
		ended as private tell_end;
	}

	const OPS     = array(
		// Does it need the plugin? Does it work on rows?
		'generate' => array( true, true ),
		'send'     => array( true, true ),
		'describe' => array( true, false ),
		'options'  => array( false, false ),
	);
	// Class => method that cannot be done without.
	const NEEDED  = array(
		'EE_Registry'           => 'instance',
		'EED_Messages'          => '_load_controller',
		'EEM_Message'           => 'instance',
		'EE_Messages_Processor' => 'batch_send_from_queue',
		'EE_Messages_Queue'     => 'is_locked',
	);
	const LOCKS   = array( '_ee_lock_generation', '_ee_lock_sending', '_transient__ee_lock_generation', '_transient__ee_lock_sending' );
	const LIMIT   = '_ee_rate_limit';
	const TOKEN   = '/^ee_trans_[a-z]+[0-9a-f]{13}$/D';
	const TRIGGER = 'msg_cron_trigger';
	// Before that version the locks and the limit were transients.
	const OPTIONS_SINCE = '4.9.58';
	const SAME_REQUEST  = 'FHEE__EE_Messages_Processor__initiate_request_by_priority__do_immediate_processing';

	private static $lock;   // array( option, value ) that is there by this process
	private static $lock_s; // how long the next one may hold
	private static $kick = '';
	// Of the row that is generated: what was saved; tokens of what was not.
	private static $saved  = 0;
	private static $failed = array();
	private static $done   = array(); // SQL by which what was generated is done

	public static function run( array $ask ) {
		$why = self::work_off( $ask );
		self::end_unheard();
		return $why;
	}

	/** Of a row that is gone nothing tells that what it was to become is saved. */
	private static function end_unheard() {
		global $wpdb;
		if ( ! self::$done || 'gone' !== self::reason_to_stop() ) {
			return;
		}
		foreach ( self::$done as $sql ) {
			$wpdb->query( $sql );
		}
	}

	private static function why_not( $op ) {
		list( $plugin, $rows ) = self::OPS[ $op ];
		$why = $plugin ? self::missing() : null;
		if ( null !== $why || ! $rows ) {
			return $why;
		}
		if ( self::same_request() ) {
			return 'messages are done in the request that makes them: the setting "same request" of Event Espresso is on';
		}
		if ( 2 === self::maintenance() ) {
			return 'Event Espresso is in full maintenance mode';
		}
		self::watch();
		return null;
	}

	private static function missing() {
		if ( ! class_exists( 'EED_Messages' ) ) {
			return 'there is no class EED_Messages: Event Espresso is not active';
		}
		self::load();
		foreach ( self::NEEDED as $class => $method ) {
			if ( ! class_exists( $class ) ) {
				return "there is no class $class: Event Espresso has another structure";
			}
			if ( ! method_exists( $class, $method ) ) {
				return "$class has no method $method()";
			}
		}
		return null;
	}

	/** The plugin loads its classes of messages where it first needs them. */
	private static function load() {
		if ( method_exists( 'EED_Messages', '_load_controller' ) ) {
			$method = new ReflectionMethod( 'EED_Messages', '_load_controller' );
			$method->setAccessible( true );
			$method->invoke( null );
		}
	}

	private static function processor() {
		return EE_Registry::instance()->load_lib( 'Messages_Processor' );
	}

	/* ---- what the plugin does by itself -------------------------------- */

	private static function watch() {
		add_filter( 'pre_http_request', array( __CLASS__, 'answer_itself' ), PHP_INT_MIN, 3 );
		// Its routine of sending falls back to a batch of whatever waits when
		// somebody has taken the lock just then.
		add_filter( 'pre_option_' . self::LIMIT, array( __CLASS__, 'no_batch' ), PHP_INT_MAX );
		add_filter( 'pre_transient_' . self::LIMIT, array( __CLASS__, 'no_batch_either' ), PHP_INT_MAX );
		add_filter( 'FHEE__EE_Messages_Queue__lock_expiry', array( __CLASS__, 'lock_expiry' ), PHP_INT_MAX );
		add_action( 'added_option', array( __CLASS__, 'on_lock' ), 10, 2 );
		add_action( 'updated_option', array( __CLASS__, 'on_locked_again' ), 10, 3 );
		add_action( 'deleted_option', array( __CLASS__, 'on_unlock' ) );
		add_action( 'AHEE__EE_Message_Repository__saveAll__after', array( __CLASS__, 'on_save' ) );
	}

	/** Its request to itself would start a batch; the program does it instead. */
	public static function answer_itself( $response, $args, $url ) {
		$query = array();
		wp_parse_str( (string) wp_parse_url( $url, PHP_URL_QUERY ), $query );
		if ( ! isset( $query['ee'] ) || self::TRIGGER !== $query['ee'] ) {
			return $response;
		}
		if ( isset( $query['key'] ) && is_string( $query['key'] ) && preg_match( self::TOKEN, $query['key'] ) ) {
			delete_transient( $query['key'] );
		}
		self::$kick = isset( $query['type'] ) && is_string( $query['type'] ) ? $query['type'] : '';
		return array(
			'headers'  => array(),
			'body'     => '',
			'response' => array( 'code' => 200, 'message' => 'OK' ),
			'cookies'  => array(),
			'filename' => null,
		);
	}

	public static function no_batch() {
		return array( 0, time() + HOUR_IN_SECONDS );
	}

	/** Old versions take 0 for no limit. */
	public static function no_batch_either() {
		return -1;
	}

	public static function lock_expiry( $seconds ) {
		return min( (int) $seconds, self::$lock_s );
	}

	public static function on_lock( $name, $value ) {
		if ( in_array( $name, self::LOCKS, true ) ) {
			self::$lock = array( $name, (string) $value );
		}
	}

	public static function on_locked_again( $name, $old, $value ) {
		self::on_lock( $name, $value );
	}

	public static function on_unlock( $name ) {
		if ( null !== self::$lock && $name === self::$lock[0] ) {
			self::$lock = null;
		}
	}

	/** What the plugin did not come to. */
	private static function unlock() {
		if ( null === self::$lock ) {
			return;
		}
		list( $name, $value ) = self::$lock;
		self::forget_options();
		if ( (string) get_option( $name ) === $value ) {
			0 === strpos( $name, '_transient_' ) ? delete_transient( substr( $name, 11 ) ) : delete_option( $name );
		}
		self::$lock = null;
	}

	public static function ended( $message ) {
		self::tell_end( $message );
		// All is told; where there is no memory for it PHP ends here.
		try {
			self::unlock();
		} catch ( Throwable $e ) {
			error_log( 'wp-cron-fcgi: the lock of messages: ' . $e->getMessage() );
		}
	}

	/** What was read at boot may be minutes old. */
	private static function forget_options() {
		if ( wp_using_ext_object_cache() ) {
			foreach ( array_merge( array( 'alloptions', 'notoptions' ), self::LOCKS ) as $name ) {
				wp_cache_get( $name, 'options', true );
			}
			return;
		}
		foreach ( array_merge( array( 'alloptions', 'notoptions' ), self::LOCKS ) as $name ) {
			wp_cache_delete( $name, 'options' );
		}
	}

	/** The plugin tells nobody else: what could not be saved throws nothing. */
	public static function on_save( $told ) {
		$told          = (array) $told + array( 'updated' => 0, 'errors' => array() );
		self::$saved  += (int) $told['updated'];
		self::$failed += array_fill_keys( (array) $told['errors'], true );
	}

	/* ---- rows ---------------------------------------------------------- */

	/** Where nothing was read nothing is known, which is not "no such row". */
	private static function value( $sql, array $args ) {
		global $wpdb;
		$value = $wpdb->get_var( $wpdb->prepare( $sql, $args ) );
		if ( '' !== (string) $wpdb->last_error ) {
			throw new RuntimeException( 'database: ' . $wpdb->last_error );
		}
		return (string) $value;
	}

	/** STS_ID; "": there is no such row. */
	private static function status( $id ) {
		global $wpdb;
		return self::value( "SELECT STS_ID FROM {$wpdb->prefix}esp_message WHERE MSG_ID = %d", array( $id ) );
	}

	/** How many it made of a row and did not save, at a second attempt neither. */
	private static function unsaved() {
		global $wpdb;
		$tokens = array_map( 'strval', array_keys( self::$failed ) );
		$places = implode( ',', array_fill( 0, max( 1, count( $tokens ) ), '%s' ) );
		return $tokens ? count( $tokens ) - (int) self::value( "SELECT COUNT(*) FROM {$wpdb->prefix}esp_message WHERE STS_ID <> 'MIC' AND MSG_token IN ($places)", $tokens ) : 0;
	}

	private static function reason( $id ) {
		global $wpdb;
		return (string) $wpdb->get_var( $wpdb->prepare( "SELECT EXM_value FROM {$wpdb->prefix}esp_extra_meta WHERE EXM_type = 'Message' AND OBJ_ID = %d AND EXM_key = 'MSG_error' ORDER BY EXM_ID LIMIT 1", $id ) );
	}

	private static function message( $id, array $stati ) {
		$found = EEM_Message::instance()->get_all( array( array( 'MSG_ID' => array( 'IN', array( $id ) ), 'STS_ID' => array( 'IN', $stati ) ) ) );
		return $found ? reset( $found ) : null;
	}

	private static function told( $ok, $status, $message = '', array $more = array() ) {
		$kick       = self::$kick;
		self::$kick = '';
		return array( 'ok' => $ok, 'status' => $status, 'msg' => WPCron_FCGI_Worker::cut( $message ), 'kick' => $kick ) + $more;
	}

	private static function locked( $status ) {
		return self::told( false, $status, 'the lock of Event Espresso is held', array( 'locked' => true ) );
	}

	private static function generate( array $entry ) {
		$id     = (int) $entry['id'];
		$status = self::status( $id );
		if ( 'MIC' !== $status ) {
			return self::told( true, $status );
		}
		if ( ! self::is_free( 'generation', $entry ) ) {
			return self::locked( $status );
		}
		$message      = self::message( $id, array( 'MIC' ) );
		self::$saved  = 0;
		self::$failed = array();
		try {
			$message && self::processor()->batch_generate_from_queue( array( $message ), true );
		} finally {
			self::unlock();
		}
		$status  = self::status( $id );
		$unsaved = '' === $status ? self::unsaved() : 0;
		if ( $unsaved > 0 ) {
			$why = "Event Espresso could not save $unsaved of the messages that it made of this one";
			if ( 0 === self::$saved ) {
				throw new RuntimeException( $why );
			}
			return self::told( false, $status, $why );
		}
		if ( '' === $status && isset( $entry['done'] ) ) {
			self::$done[] = $entry['done'];
		}
		if ( 'MIC' !== $status ) {
			return self::told( true, $status, in_array( $status, array( 'MFL', 'MDO' ), true ) ? self::reason( $id ) : '' );
		}
		return self::is_free( 'generation', $entry ) ? self::told( false, $status, 'Event Espresso did not generate it, and said nothing' ) : self::locked( $status );
	}

	private static function send( array $entry ) {
		$id     = (int) $entry['id'];
		$stati  = EEM_Message::instance()->stati_indicating_to_send();
		$status = self::status( $id );
		if ( ! in_array( $status, $stati, true ) ) {
			$sent = in_array( $status, EEM_Message::instance()->stati_indicating_sent(), true );
			return self::told( $sent, $status, $sent ? '' : 'it does not wait to be sent' );
		}
		if ( ! self::is_free( 'sending', $entry ) ) {
			return self::locked( $status );
		}
		// Else its errors of those before would be this one's too.
		is_callable( array( 'EE_Error', 'reset_notices' ) ) && EE_Error::reset_notices();
		$message = self::message( $id, $stati );
		$mails   = 0;
		$stores  = ! empty( $entry['mail'] ) && $message && class_exists( 'WPCron_FCGI_Mail', false );
		$stores && WPCron_FCGI_Mail::begin( $entry['mail'], (int) $message->priority() );
		try {
			$message && self::processor()->batch_send_from_queue( array( $message ), true );
		} finally {
			$mails = $stores ? (int) WPCron_FCGI_Mail::end()['stored'] : 0;
			self::unlock();
		}
		$more   = array( 'mails' => $mails );
		$before = $status;
		$status = self::status( $id );
		if ( in_array( $status, EEM_Message::instance()->stati_indicating_sent(), true ) ) {
			return self::told( true, $status, '', $more );
		}
		return $status === $before && ! self::is_free( 'sending', $entry ) ? self::locked( $status ) : self::told( false, $status, self::reason( $id ), $more );
	}

	private static function is_free( $what, array $entry ) {
		self::forget_options();
		self::$lock_s = (int) $entry['lock_s'];
		return ! self::processor()->get_queue()->is_locked( $what );
	}

	/* ---- what needs no message ----------------------------------------- */

	/**
	 * Against what is stored now: this process' copy is as old as its boot.
	 * Where the row says autoload no, core leaves a copy among those that are.
	 */
	private static function options( array $entry ) {
		$name = $entry['name'];
		self::forget_option( $name );
		wp_load_alloptions( true );
		if ( isset( $entry['value'] ) ) {
			$value = is_serialized( $entry['value'] ) ? @unserialize( $entry['value'], array( 'allowed_classes' => false ) ) : $entry['value'];
			update_option( $name, $value, false );
		} else {
			delete_option( $name );
		}
		self::forget_option( $name );
		$there = get_option( $name, null );
		$there = null === $there ? null : (string) maybe_serialize( $there );
		return ( isset( $entry['value'] ) ? $entry['value'] : null ) === $there ? self::yes()
			: self::no( 'not_written', "The option $name has another value after it was written." );
	}

	private static function forget_option( $name ) {
		wp_cache_delete( $name, 'options' );
		wp_cache_delete( 'notoptions', 'options' );
		wp_cache_delete( 'alloptions', 'options' );
	}

	/* ---- what only PHP knows ------------------------------------------- */

	private static function same_request() {
		$config = EE_Registry::instance()->NET_CFG;
		return self::same_request_filter() || ( isset( $config->core->do_messages_on_same_request ) && $config->core->do_messages_on_same_request );
	}

	private static function same_request_filter() {
		return (bool) apply_filters( self::SAME_REQUEST, false );
	}

	private static function maintenance() {
		return (int) EE_Maintenance_Mode::instance()->real_level();
	}

	private static function interval() {
		$schedules = wp_get_schedules();
		return isset( $schedules['ee_message_cron']['interval'] ) ? (int) $schedules['ee_message_cron']['interval'] : 0;
	}

	/** Each pair whose classes are there, active or not. */
	private static function installed() {
		$manager = EE_Registry::instance()->load_lib( 'Message_Resource_Manager' );
		$pairs   = array();
		foreach ( array_keys( (array) $manager->installed_messengers() ) as $messenger ) {
			foreach ( array_keys( (array) $manager->installed_message_types() ) as $type ) {
				$pairs[] = array( (string) $messenger, (string) $type );
			}
		}
		return $pairs;
	}

	private static function lock_format( $version ) {
		return preg_match( '/^\d+\.\d+\.\d+/', $version, $m ) && version_compare( $m[0], self::OPTIONS_SINCE, '<' ) ? 'transient' : 'option';
	}

	private static function describe() {
		$model   = EEM_Message::instance();
		$version = defined( 'EVENT_ESPRESSO_VERSION' ) ? (string) EVENT_ESPRESSO_VERSION : '';
		$config  = EE_Registry::instance()->NET_CFG;
		return self::yes(
			array(
				'told' => array(
					'version'             => $version,
					'same_request'        => ! empty( $config->core->do_messages_on_same_request ),
					'same_request_filter' => self::same_request_filter(),
					'maintenance'         => self::maintenance(),
					'batch'               => (int) apply_filters( 'FHEE__EE_Messages_Queue___batch_count', 50 ),
					'rate'                => array(
						'default'  => (int) apply_filters( 'FHEE__EE_Messages_Queue___rate_limit', 200 ),
						'window_s' => (int) apply_filters( 'FHEE__EE_Messages_Queue__rate_limit_expiry', HOUR_IN_SECONDS ),
					),
					'interval_s'          => self::interval(),
					'lock_expiry_s'       => (int) apply_filters( 'FHEE__EE_Messages_Queue__lock_expiry', HOUR_IN_SECONDS, 'sending' ),
					'installed'           => self::installed(),
					'use_wp_cron'         => (bool) apply_filters( 'FHEE__EED_Messages__run_cron__use_wp_cron', true ),
					'lock_format'         => self::lock_format( $version ),
					'stati'               => array(
						'generate' => array( 'MIC' ),
						'send'     => array_values( $model->stati_indicating_to_send() ),
						'sent'     => array_values( $model->stati_indicating_sent() ),
						'failed'   => array_values( $model->stati_indicating_failed_sending() ),
					),
				),
			)
		);
	}
}
